"""How people object and thank in Portuguese, of Portugal and of Brazil."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (isso|isto|tá|está|é) (está |é |tá |)(errado|incorreto|incorrecto|falso|mal.|um erro|equivocado|uma mentira)
        (isso|isto|assim) não (é|está|era|tá|foi) (|o |a |isso|certo|correto|verdade|bem)
        não (é|era|está|foi) (isso|isto|correto|correcto|certo|verdade|o que|a resposta|minha pergunta|assim|bem isso)
        (isso|isto|assim) não (funciona|serve|ajuda|responde|funcionou|dá|deu certo|resolve|faz sentido|me ajuda|ajudou)
        não (funciona|funcionou|deu certo|serve|ajuda|ajudou|está certo|está correto|respondeu|resolveu)
        não (queria|quis|pedi|perguntei|disse|foi isso|era isso)
        (eu |)(quis dizer|queria dizer|me referia|me refiro|referia-me|pedi|perguntei|te pedi|lhe pedi|te perguntei)
        (o que eu|o que) (queria|quis|pedi|perguntei)
        eu (disse|falei|já disse|já falei)
        (você|tu|voce|vc) (entendeu|entendeste|compreendeu|leu|percebeu|percebeste) mal
        (você|tu|vc) não (entendeu|entendeste|respondeu|leu|entende|percebeu|respondeste|percebeste|fez)
        não (me |)(entendeu|entendeste|respondeu|percebeu|percebeste|respondeste)
        (você|tu|vc) (está|estás|tá) (errado|enganado|equivocado)
        (está|estás) (enganado|equivocado)
        (você|vc) (se enganou|errou|esqueceu|ignorou|cometeu um erro)
        (enganaste-te|esqueceste|esqueceste-te|erraste)
        (sua|tua|a|essa|esta|a sua|a tua) (resposta|solução) (está|é|tá) (errada|incorreta|falsa|incorrecta|mal)
        (sua|tua|a|essa|esta|a sua|a tua) (resposta|solução) não (está|é|serve|funciona|responde|ajuda)
        o código (não funciona|está errado|não funcionou)
        (errado|incorreto|incorrecto|falso|erro|mentira|resposta errada|inútil|nada a ver).
        (ainda|continua) (não funciona|errado|com erro|dando erro|o mesmo erro|mal|sem funcionar)
        (o |)mesmo (erro|problema)
        (leia|lê) (a |)(minha |)pergunta
        (obrigado|obrigada) por nada
    """,
    thanks="""
        (obrigado|obrigada|muito obrigado|muito obrigada|obg|valeu|brigado|brigada|agradeço|grato|grata|obrigadão)
        (perfeito|ótimo|óptimo|excelente|maravilhoso|fantástico|show|incrível|sensacional|beleza|muito bem|muito bom).
        (perfeito|ótimo|excelente|show) (obrigado|obrigada|resposta|trabalho|valeu)
        (exato|exatamente|exactamente|é isso|isso mesmo|é isso mesmo|é isso aí|correto|certinho).
        (isso|isto|agora|assim|já) (funciona|funcionou|ajuda) (|bem|muito|perfeitamente).
        (isso|isto|agora|assim|já) (ajudou|serve|deu certo|me ajudou) (|bem|muito|perfeitamente).
        (funciona|funcionou|deu certo) (bem|perfeitamente|agora|direitinho)
        (funcionou|deu certo).
        (isso|isto) (é|está|era) (perfeito|ótimo|exatamente|correto|muito útil|excelente|certo.)
        (é|era) (exatamente|justamente) o que
        (você|tu|vc) (tem|tens) razão
        (tem|tens) razão
        bom trabalho.
    """,
    neither="""
        não (muito |)(obrigado|obrigada|valeu)
        (obrigado|obrigada) (não.|mas não.|desde já|antecipadamente|a|de qualquer forma|de qualquer maneira)
        (muito obrigado|muito obrigada|agradeço) (desde já|antecipadamente|se|a|mas não.)
        agradeço (desde já|antecipadamente|se|que)
        (isso|isto) não (é|está) (errado|um problema|mau|mal|problema|ruim)
        não (é|está) (errado|mau|ruim|um problema|nada|mal)
        não (há|tem|faz) (problema|mal)
        não funciona (meu|minha|o|a|a internet)
        queria dizer (obrigado|obrigada)
        (pedi|perguntei) (um|uma|ao|à)
        graças a
    """,
    openers="""
        não nao hm hmm eh oh ah ok bom bem desculpa desculpe espera espere olá oi mas e sim então infelizmente opa pô
        poxa
    """,
    fillers="""
        ainda realmente completamente totalmente simplesmente muito também mesmo já bem só absolutamente
    """,
    turns="mas porém contudo entretanto",
    steps="""
        (agora|depois|e|também|além disso|por fim|em seguida|e agora|então|continue|continua)
        (a mesma coisa|faça o mesmo|faz o mesmo|mais um|mais uma|que tal|mude|modifique|adicione|remova|traduza|encurte)
    """,
    common="""
        o a os as um uma uns umas de do da dos das em no na nos nas com sem por para pelo pela e ou é são era ser está
        estão se me te lhe nos eu tu ele ela você vocês nós eles meu minha meus minhas teu tua seu sua seus suas como
        que quê quem qual quais quando onde porque posso pode podes poderia devo quero queria preciso favor dê diga
        mostre faça fazer há tem tenho se não mais este esta isto esse essa isso ao à olá oi
    """,
)
