"""How people object and thank in Spanish."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (eso|esto|ello) (es|está) (mal|incorrecto|falso|equivocado|erróneo|un error|errado|una tontería)
        (es|está) (incorrecto|falso|equivocado|erróneo|mal.)
        (eso|esto|ello|así) no (es|está|era|fue) (|lo |la |el |mi |así)
        no (es|era) (eso|esto|correcto|cierto|verdad|lo que|la respuesta|mi pregunta|así|lo mismo)
        (eso|esto|así) no (funciona|sirve|ayuda|responde|funcionó|va|me sirve|me ayuda|tiene sentido|resuelve|vale)
        no (funciona|funcionó|sirve|me sirve|me ayuda|ayuda|está bien|está correcto|responde)
        no (quería|quise|pedí|pregunté|dije|me refería)
        (me refería|me refiero|quise decir|quería decir|lo que quería|lo que quise|lo que pedí|yo quería|yo pedí)
        (lo que pregunté|lo que pregunto|yo pregunté|pregunté|pedí)
        (te pedí|te pregunté|te dije|le pedí|le pregunté|ya dije)
        (me has|me ha|lo has|has) (entendido mal|malinterpretado|malentendido|entendido mal)
        (entendiste|ha entendido|has entendido|entendió) mal
        no (me |lo |)(has|ha|han) (entendido|respondido|contestado|leído)
        no (me |lo |)(entendiste|entiendes|entendió|entiende|respondiste|contestaste|leíste)
        (te equivocas|se equivoca|te has equivocado|se ha equivocado|te equivocaste|estás equivocado|está equivocado)
        (olvidaste|te olvidaste|has olvidado|se te olvidó|ignoraste|cometiste un error)
        (tu|su|la|esa|esta) (respuesta|solución) (es|está) (incorrecta|falsa|mal|equivocada|errónea|mala)
        (tu|su|la|esa|esta) (respuesta|solución) no (es|está|sirve|funciona|responde|me)
        el código (no funciona|está mal|es incorrecto)
        (mal|incorrecto|falso|error|equivocado|mentira|respuesta incorrecta|respuesta equivocada|inútil).
        (sigue|todavía|aún) (sin funcionar|no funciona|mal|igual|dando error|fallando)
        (el |)mismo (error|problema)
        (lee|lea) (mi|la) pregunta
        gracias por nada
    """,
    thanks="""
        (gracias|muchas gracias|mil gracias|muchísimas gracias)
        (te lo agradezco|se lo agradezco|te agradezco|le agradezco)
        (perfecto|genial|excelente|estupendo|fantástico|maravilloso|buenísimo|magnífico|increíble|bravo|muy bien).
        (perfecto|genial|excelente) (gracias|respuesta|trabajo)
        (exacto|exactamente|eso es|así es|justo eso|correcto).
        (eso|esto|así|ya|ahora) (funciona|funcionó|sirve|ayuda|me ayuda|me sirve|me ayudó) (|bien|perfecto|mucho|ahora).
        (funciona|funcionó|sirvió) (bien|perfecto|perfectamente|ahora|de maravilla)
        (eso|esto) (es|está|era) (perfecto|genial|exactamente|justo|correcto|muy útil|excelente|bien.)
        (es|era) (perfecto|justo lo que|exactamente lo que)
        (tienes|tiene) razón
        buen trabajo.
    """,
    neither="""
        no (muchas |)gracias
        gracias (pero no.|no.|de antemano|por adelantado|a|de todas formas|de todos modos|igualmente)
        muchas gracias (de antemano|por adelantado|a|pero no.)
        (eso|esto) no (es|está) (mal|un problema|malo|problema|incorrecto)
        no (es|está) (mal|malo|nada|un problema|problema)
        no (hay|pasa|importa) (problema|nada)
        no (me funciona la|funciona mi|funciona la|funciona el|funciona internet)
        no sirve (mi|la|el|de)
        quería decir (gracias|que gracias)
        (pedí|pregunté) (un|una|mi|a mi)
    """,
    openers="""
        no nop hm hmm eh oh ah ok bueno pues perdón disculpa disculpe espera espere hola oye pero y sí si vale
        lamentablemente entonces lo siento
    """,
    fillers="""
        todavía aún realmente completamente totalmente simplemente muy también para sigue siendo del todo
        absolutamente ya
    """,
    turns="pero aunque",
    steps="""
        (ahora|luego|después|y|también|además|por último|a continuación|y ahora|entonces|continúa|sigue)
        (lo mismo|haz lo mismo|otro más|qué tal|qué hay de|cambia|modifica)
        (añade|agrega|quita|elimina|traduce|acorta|más)
    """,
    common="""
        el la los las lo un una unos unas de del a al en con sin por para y o es son era ser está están se me te le
        nos les mi mis tu tus su sus yo tú él ella usted nosotros ellos cómo como qué que quién cuál cuáles cuándo
        dónde puedo puedes puede podrías podría debo quiero quisiera necesito favor dame dime muéstrame haz hacer hay
        ha he has si no más este esta esto ese esa eso estos esas hola
    """,
)
