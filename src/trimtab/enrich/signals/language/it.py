"""How people object and thank in Italian."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (è|questo è|quello è|ciò è|era) (|tutto )(sbagliato|errato|falso|scorretto|un errore|una sciocchezza|inesatto)
        (questo|quello|ciò|così) non (è|era|va|sta) (|bene|la|il|ciò|quello|corretto|giusto|vero)
        non (è|era) (giusto|corretto|vero|così|questo|quello|ciò|la risposta|esatto|la mia domanda|quel che|utile)
        (questo|quello|così|ciò) non (funziona|serve|aiuta|risponde|ha senso|mi aiuta|va bene|ha funzionato|risolve)
        non (funziona|ha funzionato|serve|mi serve|mi aiuta|aiuta|va|va bene|risponde)
        non (volevo|intendevo|ho chiesto|ho detto|dicevo|parlavo|ti ho chiesto)
        (intendevo|volevo dire|io volevo|mi riferivo|mi riferisco|quello che volevo|quello che intendevo)
        (ho chiesto|ti ho chiesto|le ho chiesto|avevo chiesto|io ho chiesto|ho detto|ti ho detto|chiedevo|parlavo di)
        quello che (ho chiesto|chiedevo|intendo)
        (hai|ha|mi hai|mi ha) (capito male|frainteso|sbagliato|dimenticato|ignorato|torto|letto male|fatto un errore)
        non (hai|ha|mi hai|mi ha) (capito|risposto|letto|fatto)
        (ti sbagli|si sbaglia|ti sei sbagliato|si è sbagliato|stai sbagliando|sta sbagliando)
        non (capisci|capisce|rispondi|risponde)
        (la tua|la sua|la|questa) (risposta|soluzione) è (sbagliata|errata|falsa|scorretta|inutile|inesatta)
        (la tua|la sua|la|questa) (risposta|soluzione) non (è|va|funziona|serve|risponde|mi)
        il codice (non funziona|è sbagliato|è errato)
        (sbagliato|errato|falso|errore|scorretto|risposta sbagliata|inutile|non esatto).
        (ancora|continua a) (sbagliato|non funzionare|dare errore|lo stesso errore|non funziona)
        (lo |)stesso (errore|problema)
        (rileggi|rilegga|leggi) (la|la mia) domanda
        grazie per niente
    """,
    thanks="""
        (grazie|grazie mille|molte grazie|tante grazie|ti ringrazio|la ringrazio|grazie infinite|mille grazie)
        (perfetto|ottimo|eccellente|fantastico|magnifico|stupendo|bravissimo|bravo|benissimo|grande|splendido|geniale).
        (perfetto|ottimo|eccellente) (grazie|risposta|lavoro)
        (esatto|esattamente|proprio così|è proprio questo|giusto|corretto).
        (questo|ora|adesso|così) (funziona|ha funzionato|mi aiuta|va bene|serve) (|bene|perfettamente|molto|ora).
        (funziona|ha funzionato) (bene|perfettamente|ora|adesso|alla grande|tutto)
        (funziona|ha funzionato).
        (questo|è|questo è|era) (perfetto|ottimo|esattamente|proprio quello|molto utile|corretto.|giusto.|eccellente)
        (hai|ha) ragione
        (ottimo|bel|buon) lavoro.
    """,
    neither="""
        no (molte |)grazie
        grazie (no.|ma no.|in anticipo|anticipatamente|a|lo stesso|comunque|al|alla|altrettanto)
        (ti ringrazio|la ringrazio|molte grazie) (in anticipo|anticipatamente|se|ma no.)
        (questo|quello|ciò) non è (sbagliato|male|un problema|errato|grave)
        non (è|era) (sbagliato|male|un problema|nulla|niente|grave|errato)
        non (c'è|importa) (problema|nulla|niente|alcun problema)
        non (funziona|va) (il|la|più|internet|a)
        non serve (altro|che|a|più)
        non va (via|in|a)
        volevo dire grazie
        ho chiesto (a mio|a mia)
        per niente
    """,
    openers="""
        no hm hmm eh oh ah ok beh scusa scusi aspetta aspetti ciao ehi ma e sì si allora purtroppo mi dispiace guarda
        senti peccato
    """,
    fillers="""
        ancora davvero completamente totalmente semplicemente molto anche proprio tutto affatto assolutamente però
    """,
    turns="ma però tuttavia",
    steps="""
        (ora|adesso|poi|e|anche|inoltre|infine|dopo|e ora|e adesso|allora|continua)
        (la stessa cosa|fai lo stesso|un altro|un'altra|che ne dici|cambia|modifica|aggiungi|togli|traduci|accorcia)
    """,
    common="""
        il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dalla in
        nel nella con senza su sul sulla per tra fra e o è sono era essere sta si mi ti ci vi io tu lui lei noi voi
        loro mio mia miei tuo tua suo sua come che cosa chi quale quali quando dove perché posso puoi può potresti
        potrebbe devo voglio vorrei favore dammi dimmi mostrami fai fare ho hai ha se non più questo questa quello
        quella ciao
    """,
)
