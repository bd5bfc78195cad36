"""How people object and thank in French."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (c'est|ceci est|cela est|ça c'est) (faux|incorrect|inexact|erroné|une erreur|n'importe quoi|nul|absurde)
        (ce n'est|c'est|cela n'est|ça n'est|ce n'était|c'était) pas (ça|cela|correct|vrai|exact|bon|juste|ce|la|le|ma)
        (ce n'est|c'est) pas (du tout|bon|utile|la bonne)
        (ça|cela|ceci) (ne |)(marche|fonctionne|va|aide|répond|correspond|m'aide|résout) pas
        (ça|cela|il) (n'a|a) pas (marché|fonctionné|aidé)
        (ne|) (marche|fonctionne) pas.
        ça (n'aide|m'aide) pas
        (pas|non pas) (ça|cela|ce que|du tout).
        pas ce que (j'ai|je)
        (je voulais|j'ai voulu) dire
        je (parlais|pensais|demandais|voulais) (de|du|des|à|plutôt|pas|le|la|les|un|une|comment|savoir)
        (je n'ai|j'ai) pas (demandé|dit|voulu|parlé)
        j'ai (demandé|dit|bien demandé|pourtant demandé|bien dit)
        je (t'ai|vous ai) (demandé|dit)
        ce que (je voulais|j'ai demandé|je demandais)
        (tu as|vous avez|t'as) (tort|mal compris|mal lu|oublié|fait une erreur|ignoré|raté)
        (tu n'as|vous n'avez|tu as|vous avez|t'as) pas (compris|répondu|lu|fait|corrigé)
        (tu te trompes|vous vous trompez|tu t'es trompé|vous vous êtes trompé|vous faites erreur|tu fais erreur)
        tu ne (comprends|réponds) pas
        vous ne (comprenez|répondez) pas
        (ta|votre|la|cette) (réponse|solution) est (fausse|incorrecte|erronée|mauvaise|inexacte|inutile)
        (ta|votre|la|cette) (réponse|solution) (n'est|est) pas (bonne|correcte|juste|celle)
        (ta|votre|la|cette) (réponse|solution) ne (marche|fonctionne|répond|convient) pas
        le code (est faux|ne marche pas|ne fonctionne pas)
        (faux|incorrect|erreur|mauvaise réponse|n'importe quoi|pas correct|inexact).
        (toujours|encore) (la même erreur|faux|la même chose|pas)
        (la |)même erreur
        (relis|relisez) (ma|la) question
        (merci pour rien|merci de rien du tout)
    """,
    thanks="""
        (merci|merci beaucoup|mille mercis|un grand merci|grand merci|merci bien|merci infiniment)
        je (te|vous) remercie
        (parfait|super|génial|excellent|formidable|impeccable|nickel|top|bravo|magnifique|extra|très bien|merveilleux).
        (parfait|super|génial|excellent|nickel) (merci|réponse|travail)
        (exactement|c'est ça|c'est bien ça|voilà|tout à fait).
        (ça|cela) (marche|fonctionne|m'aide|aide|m'a aidé) (|maintenant|très bien|parfaitement|beaucoup|bien).
        (c'est|c'était) (parfait|super|génial|excellent|exactement|très utile|exact.|correct.|juste.|bon.)
        (ça|cela) m'a (|beaucoup |bien )aidé
        (tu as|vous avez) raison
        (bon|beau) travail.
    """,
    neither="""
        non merci
        merci (non|d'avance|par avance|mais non|quand même)
        (merci|je te remercie|je vous remercie) de (me|m'|nous|ne|bien|bien vouloir|faire|corriger|répondre|traduire)
        merci de (préciser|donner|fournir|rédiger|vérifier|confirmer|continuer|reformuler|lister|expliquer|m'aider)
        merci de (m'expliquer|m'indiquer|m'envoyer|m'écrire|résumer|modifier|ajouter|supprimer|noter|prendre)
        je (te|vous) remercie (d'avance|par avance|de bien vouloir)
        (merci|grâce) à
        (pas|aucun) (de |)(problème|souci)
        (ce n'est|c'est) pas (grave|faux|mal|un problème|la peine)
        pas (mal|de souci|de problème)
        je voulais (te|vous) (dire merci|remercier)
        je voulais dire merci
        je voulais (savoir si|un|une) (vous|tu|renseignement)
        de rien
    """,
    openers="""
        non nan hm hmm euh oh ah ok bon ben bah désolé pardon attends attendez bonjour salut mais et oui si alors
        malheureusement dommage stp svp
    """,
    fillers="""
        toujours encore vraiment complètement totalement juste très aussi même tout simplement absolument bien
    """,
    turns="mais cependant pourtant toutefois",
    steps="""
        (maintenant|ensuite|puis|et|aussi|également|après|enfin|de plus|et maintenant|continue|continuez)
        (même chose|fais pareil|encore un|encore une|qu'en est-il|change)
        (modifie|ajoute|enlève|supprime|traduis|raccourcis)
    """,
    common="""
        le la les l un une des du de d à au aux en dans sur sous par pour avec sans et ou est sont était être ce cet
        cette ces il elle on nous vous ils je j tu me m te t se s mon ma mes ton ta tes son sa ses votre vos comment
        que qu quoi qui où quand pourquoi quel quelle quels quelles peux peut pouvez pourrais dois doit faut veux
        voudrais stp svp s il plaît plait donne donner montre dis fais faire ai as a avez avoir si ne pas plus bonjour
        moi
    """,
)
