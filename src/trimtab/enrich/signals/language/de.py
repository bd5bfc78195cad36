"""How people object and thank in German."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (das|dies|es) ist (falsch|unrichtig|verkehrt|inkorrekt|fehlerhaft|unsinn|quatsch|blödsinn|unwahr)
        (das|dies|es) (ist|war) nicht (richtig|korrekt|wahr|das|was|die|hilfreich|meine frage|zutreffend|gut)
        (das|dies|es) (stimmt|passt|geht|funktioniert|klappt|hilft|reicht|läuft) (|mir |so |leider )nicht
        (das|dies) (beantwortet|löst) (meine|die|das) (frage|problem) nicht
        (das|dies) (habe|hatte|hab|wollte|meinte|war) (|ich )(|so )(nicht|gar nicht)
        (das|dies|so) (meinte|wollte|meine|will) ich (|so |gar )nicht
        (das|danach) (habe|hab|hatte) ich nicht (gefragt|gemeint|gesagt|gewollt|verlangt)
        (stimmt|funktioniert|klappt|geht|hilft) (|so |leider |mir )nicht
        nicht (richtig|korrekt|das was|was ich|hilfreich).
        nicht (das|was) (was |)ich
        (nein ich meine|ich wollte) (doch|das|den|die|eigentlich|nicht|damit|etwas|eine|einen|ein|mit|wie|was)
        (ich meinte|so meinte ich)
        ich (habe|hab|hatte) (doch |dich |nicht |)(nach|gefragt|gesagt|gemeint|nicht)
        ich (habe|hab) (doch|dich|eigentlich) (nach|gefragt|gesagt|etwas)
        ich (fragte|sagte) (doch|nach|dich)
        (du hast|sie haben|ihr habt) (mich|das|es|meine frage|die frage|etwas) (falsch|missverstanden|nicht|vergessen)
        (du hast|sie haben) (vergessen|übersehen|einen fehler|unrecht|nicht)
        (du|sie) (irrst|irren|liegst|liegen|täuschst|täuschen) (dich|sich|falsch|da)
        (du|sie) (verstehst|verstehen) (mich |das |)(nicht|falsch)
        (da|hier) (irrst|irren|liegst|liegen) (du|sie)
        (deine|ihre|die|diese) (antwort|lösung|ausgabe|auskunft) ist (falsch|nicht|unrichtig|verkehrt)
        (deine|ihre|die|diese) (antwort|lösung) (stimmt|passt|hilft|funktioniert) (mir |)nicht
        der code (ist falsch|funktioniert nicht|läuft nicht|geht nicht)
        (falsch|verkehrt|unsinn|quatsch|fehler|blödsinn|schwachsinn).
        falsche (antwort|sprache|datei|frage|stelle|zahl|ausgabe)
        (immer noch|gleicher|derselbe|wieder der gleiche|der gleiche) (falsch|fehler|derselbe fehler|nicht)
        noch mal.
        lies (meine|die) frage
        (das|ist) (völlig |)(unbrauchbar|nutzlos)
        danke für (nichts|gar nichts)
    """,
    thanks="""
        (danke|dankeschön|danke schön|danke sehr|vielen dank|besten dank|herzlichen dank|merci vielmals|lieben dank)
        (perfekt|super|prima|klasse|wunderbar|ausgezeichnet|toll|hervorragend|genial|spitze|großartig|top|sehr gut).
        (perfekt|super|prima|klasse|toll) (danke|vielen dank|gemacht|antwort)
        (genau|genau das|genau so|exakt|stimmt|richtig|passt).
        (das|es|so) (funktioniert|klappt|passt|hilft|läuft|stimmt|geht) (|jetzt|nun|gut|mir|wunderbar|super|perfekt).
        (das|es) (hat) (geholfen|funktioniert|geklappt|mir geholfen|mir sehr geholfen)
        (das|dies) (ist|war) (perfekt|super|genau|richtig|hilfreich|toll|sehr hilfreich|korrekt)
        (du hast|sie haben) recht
        gut gemacht.
    """,
    neither="""
        (nein|ne|nee|nö) danke
        (nein|ne) (vielen dank|danke schön|besten dank)
        danke nein
        (danke|vielen dank|besten dank) (im voraus|der nachfrage|aber nein|trotzdem|dir nicht)
        danke (gleichfalls|ebenso|nein|e-mail|mail|brief|karte)
        dank (der|des|dem|seiner|ihrer)
        kein problem
        das (geht|ist) (|so )(nicht so schlimm|nicht schlimm|nicht falsch|nicht schlecht|kein problem)
        das ist nicht (falsch|schlecht|schlimm|das problem)
        das (stimmt|passt|geht|funktioniert|klappt) (|so )nicht ganz so
        ich meinte (danke|vielen dank)
        (ich) (meine|wollte) (das|die|den) (mal|nur|gerne)
    """,
    openers="""
        nein ne nee nö hm hmm oh ok okay tja sorry entschuldigung moment halt hallo hi hey aber und ja ach leider äh
        also so bitte schade mist
    """,
    fillers="""
        immer noch einfach völliger kompletter totaler absoluter wirklich völlig komplett total eigentlich ganz sehr
        auch doch ja wieder leider aber überhaupt gar absolut
    """,
    turns="aber jedoch allerdings",
    steps="""
        (jetzt|nun|dann|und|außerdem|als nächstes|danach|zusätzlich|weiter|und jetzt|auch)
        (wie ist es mit|das gleiche|dasselbe|noch ein|mehr|mach weiter|ändere|füge|entferne|übersetze|kürze)
    """,
    common="""
        der die das den dem des ein eine einen einem einer eines und oder in im an am auf aus bei mit nach von vom zu
        zum zur für ist sind war sein es ich du er sie wir ihr mich mir dich dir mein meine meinen dein deine wie was
        wer wo wann warum welche welcher welches kann kannst könnte könntest soll sollte muss will möchte bitte mal
        doch auch nur noch so als ob wenn dass man gib zeig zeige sag sage mach mache haben habe hast hat hallo geht
    """,
)
