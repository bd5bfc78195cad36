"""What an attempt to give a model orders looks like: patterns by kind and language, each with a weight.

Orders that look past what came before, masks of roles and tools, ways to carry words out, and text that people cannot
see. Patterns run on folded text (lower case, no hidden characters, spaces made one), so they are written that way.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["PATTERNS", "RAW", "Pattern"]


class Pattern(NamedTuple):
    """A signal: its name, how much it says (1.0 is enough alone), and what it matches."""

    kind: str
    weight: float
    regex: re.Pattern[str]


def _told(kind: str, weight: float, *sources: str) -> list[Pattern]:
    return [Pattern(kind, weight, re.compile(source)) for source in sources]


# An apostrophe is either inside a word or outside one: read both ways, a row of them would take for ever.
_GAP = r"\W+(?:\w+(?:'\w+)*\W+){0,4}?"

_RULES_EN = (
    r"(?:instructions?|prompts?|rules|guidelines|directives?|orders|context|messages?|polic(?:y|ies)|training"
    r"|directions?)"
)
_RULES_DE = (
    r"(?:anweisung(?:en)?|anleitung(?:en)?|instruktion(?:en)?|regeln|vorgaben|befehle?|richtlinien|prompts?|kontext)"
)
_RULES_FR = r"(?:instructions?|consignes?|regles?|règles?|directives?|ordres|prompts?|contexte)"
_RULES_ES = r"(?:instruccion(?:es)?|instrucción|reglas|órdenes|ordenes|directrices|indicaciones|prompts?|contexto)"
_RULES_PT = r"(?:instruç(?:ões|ão)|instrucoes|regras|ordens|diretrizes|orientações|prompts?|contexto)"
_RULES_IT = r"(?:istruzion[ei]|regole|ordini|direttive|indicazioni|prompts?|contesto)"

# "Do not forget your instructions" is none.
_NOT = r"(?<!\bno )(?<!\bn')(?<!\bne )(?<!\bse )(?<!\bnon )(?<!\bnot )(?<!n't )(?<!\bnever )(?<!\bnicht )"
_OVERRIDE = _told(
    "override",
    1.0,
    rf"\b{_NOT}(?:ignore|disregard|forget|override|bypass|skip|drop){_GAP}(?:previous|prior|above|earlier|preceding"
    rf"|existing|"
    rf"system|original|initial|your|all|other){_GAP}{_RULES_EN}\b",
    r"\b(?:ignore|disregard|forget) (?:everything|anything|all) (?:above|before|you|that|i|we|said|written|prior)\b",
    r"\b(?:not|never|stop|no longer) (?:follow|obey|apply)(?:ing)? (?:the |your |any )?(?:\w+ ){0,2}"
    r"(?:instructions|rules|guidelines|prompt)\b",
    rf"\b(?:ne (?:tiens|tenez) pas compte|ne (?:suis|suivez) (?:pas|plus)){_GAP}{_RULES_FR}\b",
    rf"\b(?:haz|haga) caso omiso{_GAP}{_RULES_ES}\b",
    rf"\bnão (?:siga|obedeça){_GAP}{_RULES_PT}\b",
    rf"\bnon (?:seguire|rispettare) (?:più )?(?:le |tutte le |alcuna )?{_RULES_IT}\b",
    rf"\bhalte dich nicht (?:mehr )?an (?:\w+ )?{_RULES_DE}\b",
    r"\b(?:vergiss|vergessen sie) alles,? was (?:du|sie|ich|man|wir|dir|ihnen)\b",
    rf"\b(?:ignorier\w*|vergiss|vergesst|vergessen|missachte\w*|überschreib\w*|umgeh\w*|übergeh\w*){_GAP}"
    rf"(?:vorherige\w*|bisherige\w*|obige\w*|frühere\w*|vorige\w*|alle\w*|deine\w*|ihre\w*"
    rf"|system\w*){_GAP}{_RULES_DE}\b",
    r"\b(?:ignorier\w*|vergiss|vergessen sie) (?:alles|was) (?:bisher\w*|vorher\w*|davor|oben|zuvor|vorhin)\b",
    rf"\b{_NOT}(?:ignore[zr]?|oublie[zr]?|néglige[zr]?|outrepasse[zr]?|contourne[zr]?|désobéi\w*){_GAP}{_RULES_FR}\b",
    r"\b(?:ignore[zr]?|oublie[zr]?) tout ce qui (?:précède|est au-dessus|a été dit)\b",
    rf"\b{_NOT}(?:ignora\w*|ignore|olvida\w*|olvide|descarta\w*|anula\w*|omite|desobedece){_GAP}{_RULES_ES}\b",
    r"\b(?:ignora|olvida|olvide) todo lo (?:anterior|dicho|de arriba|que)\b",
    rf"\b{_NOT}(?:ignor[ea]\w*|esqueç[ao]\w*|esquece|desconsider[ea]\w*|descart[ea]\w*|anule){_GAP}{_RULES_PT}\b",
    r"\b(?:ignore|esqueça|esquece) tudo (?:o que|acima|antes|que)\b",
    rf"\b{_NOT}(?:ignora\w*|dimentica\w*|scorda\w*|tralascia\w*|aggira\w*|sovrascrivi){_GAP}{_RULES_IT}\b",
    r"\b(?:ignora|dimentica) tutto (?:ciò|quello|quanto|il testo)\b",
)
_PERSONA = _told(
    "persona",
    0.6,
    r"\b(?:you are|you're) (?:now|no longer|henceforth)\b",
    r"\bfrom now on,? (?:you|answer|respond|reply|always|every)\b",
    r"\b(?:act|behave|respond|answer|pretend|roleplay) (?:as (?:if|though)? ?)?(?:you are|you have|you were|to be)\b",
    r"\b(?:developer|debug|god|admin|maintenance|sudo) mode\b",
    r"\bdu bist (?:jetzt|nun|ab sofort|nicht (?:mehr|länger))\b",
    r"\bab (?:jetzt|sofort) (?:antworte\w*|bist|sollst|sagst|wirst)\b",
    r"\b(?:entwickler|admin|wartungs|debug)[- ]?modus\b",
    r"\b(?:tu es|vous êtes) (?:désormais|maintenant|à présent|dorénavant)\b",
    r"\b(?:désormais|à partir de maintenant|dorénavant),? (?:tu|vous|répond\w*)\b",
    r"\bmode (?:développeur|admin\w*|debug)\b",
    r"\b(?:ahora|desde ahora|a partir de ahora),? (?:eres|serás|responde\w*|debes|actúa\w*)\b",
    r"\bmodo (?:desarrollador|admin\w*|desenvolvedor|programador)\b",
    r"\b(?:agora|a partir de agora|de agora em diante),? (?:você é|és|tu és|responda\w*|responde|aja)\b",
    r"\b(?:ora|adesso|d'ora in poi|da ora in poi),? (?:sei|tu sei|rispondi\w*|devi|agisci)\b",
    r"\bmodalità (?:sviluppatore|admin\w*|debug)\b",
)
_FREED = [
    *_told(
        "freed",
        1.0,
        r"\b(?:jailbreak\w*|do anything now|dan mode)\b",
        r"\b(?:unrestricted|uncensored|unfiltered|jailbroken) (?:assistant|model|ai|bot|chatbot)\b",
        r"\bno (?:content polic(?:y|ies)|safety (?:rules|guidelines|filters?))\b",
    ),
    *_told(
        "freed",
        0.5,
        r"\bwithout (?:any )?(?:restrictions|filters|limitations|rules|limits)\b",
        r"\bohne (?:jede |alle )?(?:regeln|grenzen|filter|einschränkungen|beschränkungen)\b",
        r"\bsans (?:aucune? )?(?:limites?|restrictions?|règles?|filtres?)\b",
        r"\bsin (?:ning\w+ )?(?:límites|restricciones|filtros|reglas)\b",
        r"\bsem (?:limites|restrições|filtros|regras)\b",
        r"\bsenza (?:limiti|restrizioni|filtri|regole)\b",
        r"\b(?:ignorier\w*|entfern\w*|remove|disable|quita|désactive\w*|rimuovi) (?:die |the |all |los |les |i )?"
        r"(?:filters?|filtres|filtros|filtri)\b",
    ),
]
_ORDER = [
    *_told(
        "order",
        1.0,
        r"\b(?:for|in) (?:all|every|any) (?:future |other |following |subsequent )?(?:questions?|requests?"
        r"|users?|answers?"
        r"|repl(?:y|ies)|customers?)[^.]{0,30}\b(?:answer|respond|reply|say|tell|recommend|output)",
        r"\b(?:new|updated|real|actual|additional|hidden|secret) (?:system )?(?:instructions?|prompt|task"
        r"|directive) ?:",
        r"\b(?:regardless of|no matter) what (?:the |an? )?(?:user|customer|they|question"
        r"|people)\b[^.]{0,30}\b(?:asks?|says?)\b",
        r"\b(?:note|notice|message|instructions?) (?:to|for) (?:the |all |any )?(?:ai|llm|(?:language )?model"
        r"|chatbot|bot)\b",
        r"\b(?:attention|hey|dear|hello|note),? (?:language model|llm|ai|model|chatbot|gpt|chatgpt)\b",
        r"\bas (?:the|an|a) (?:ai|language model|model|llm),? you (?:shall|must|should|will|can)\b",
        r"\byour (?:\w+ )?(?:instructions|prompt|guidelines|directives) (?:are|is|were) (?:wrong|outdated|void"
        r"|obsolete|invalid)\b",
        r"\b(?:neue|geheime|eigentliche) (?:system)?(?:anweisung|instruktion)\w* ?:",
        r"\b(?:an die ki|an das (?:sprach)?modell|hinweis für (?:die ki|das modell|den assistenten))\b",
        r"\bnouvelles? (?:instructions?|consignes?) ?:",
        r"\b(?:nuevas?|novas?|nuov[ae]) (?:instruccion\w*|instrucción|instruç\w+|istruzion[ei]) ?:",
        r"\b(?:para|pour|per) (?:la ia|el modelo|el asistente|a ia|o modelo|o assistente|l'ia|le modèle|l'assistant"
        r"|il modello|l'assistente) ?:",
    ),
    *_told(
        "order",
        0.6,
        r"\b(?:always|only|just) (?:answer|respond|reply|say|output|print)\b",
        r"\b(?:antworte|sage|schreibe|antworten sie|sagst) (?:\w+ )?(?:immer|stets|nur noch|ausschließlich"
        r"|künftig)\b",
        r"\b(?:réponds|répondez|dis|dites) (?:toujours|uniquement|désormais|seulement)\b",
        r"\b(?:responde|responda|di|diga|contesta) (?:siempre|sempre|solo|sólo|únicamente|apenas|solamente"
        r"|somente)\b",
        r"\b(?:rispondi|di'|scrivi) (?:sempre|solo|soltanto|unicamente|esclusivamente)\b",
    ),
]
_SECRET = _told(
    "secret",
    1.0,
    r"\b(?:reveal|print|show|repeat|output|leak|display|share|expose|dump|send|tell (?:me|us)|give (?:me"
    r"|us))\b[^.\n]{0,40}"
    r"\b(?:system prompt|system message|(?:your|hidden|secret|initial|original) (?:instructions|prompt|rules)"
    r"|api[ _-]?keys?"
    r"|(?:admin|user|customer|root)s?'? ?(?:passwords?|credentials|tokens?))\b",
    r"\b(?:zeige?|nenne?|verrate?|gib|wiederhole?|drucke?|sende)\b[^.\n]{0,40}\b(?:system-?prompt|systemanweisung\w*|"
    r"(?:deine|ihre|geheime\w*|versteckte\w*) (?:anweisungen|instruktionen|regeln)|api-?schlüssel|zugangsdaten)\b",
    r"\b(?:révèle\w*|affiche\w*|montre\w*|répète\w*|donne\w*|envoie\w*)\b[^.\n]{0,40}\b(?:(?:prompt|invite"
    r"|message) système|"
    r"(?:tes|vos) (?:instructions|consignes)|instructions (?:secrètes|cachées)|clés? (?:d'api|api)|mots de passe)\b",
    r"\b(?:revela\w*|muestra\w*|muéstra\w*|mostra\w*|mostre|repite|repita|imprime|imprima|envía\w*|envie|dime"
    r"|diga-me)\b[^.\n]{0,40}"
    r"\b(?:(?:prompt|mensaje|mensagem|indicación) (?:del|de|do) sistema|(?:tus|sus|suas|tuas) (?:instrucciones"
    r"|instruções)|"
    r"instrucciones ocultas|claves? (?:de )?api|chaves? (?:de |da )?api|contraseñas|senhas)\b",
    r"\b(?:rivela\w*|mostra\w*|ripeti|stampa|invia\w*|dimmi)\b[^.\n]{0,40}\b(?:(?:prompt|messaggio) di sistema|"
    r"(?:le )?tue istruzioni|istruzioni (?:nascoste|segrete)|chiav[ei] api|password degli)\b",
)
_ROLE = _told(
    "role",
    1.0,
    r"<\|?/? ?(?:system|im_start|im_end|assistant|user|endoftext|start_header_id|end_header_id|eot_id"
    r"|begin_of_text)\b ?\|?>",
    r"\[/?(?:inst|sys|system|system_message)\]|<</?sys>>",
    r"(?:^|\n) ?#{2,} ?(?:system|instructions?|assistant|new task|response)\b ?:?",
    r"(?:^|\n) ?(?:system|assistant|developer|human|user|système|sistema|assistent|asistente) ?: ?\S",
    r"</?(?:tool_call|tool_use|tool_result|function_call|function_results?|invoke|tool|instructions?"
    r"|prompt|context|document)\b[^>\n]{0,80}>",
    r"\"(?:role|tool_calls?|function_call)\" ?: ?[\"\[{]",
    r"(?:begin|end|start|ende) (?:of )?(?:system |the )?(?:prompt|context|instructions)\b ?[-=\]]",
)
_CARRY = _told(
    "carry",
    1.0,
    r"!\[[^\]]{0,300}\] ?\( ?(?:https?:)?//",
    r"\[[^\]]{0,300}\] ?\( ?(?:javascript|data|vbscript|file):",
    r"\bdata:[a-z]+/[a-z0-9.+-]+(?:;[a-z0-9=-]+)*[;,]",
    r"<(?:script|iframe|img|svg|object|embed|link|meta|form|style)\b[^>]{0,300}",
    r"https?://[^\s)\]>]{0,300}[?&#][^\s=&]{0,40}= ?(?:\{|%7b|\$\{|\[|<)",
    r"https?://(?:\d{1,3}\.){3}\d{1,3}\b",
    r"\b(?:send|post|forward|append|upload|exfiltrate|encode|envoie\w*|sende\w*|schicke\w*|envía\w*|envie"
    r"|invia\w*)\b[^.\n]{0,30}"
    r"\b(?:conversation|chat|history|data|datos|dados|dati|daten|donnees|données|conversa|conversación"
    r"|conversazione|gespräch\w*"
    r"|messages|everything|every|all|credentials|secrets)\b[^\n]{0,40}\b(?:to|an|à|a|al|para|vers|su) "
    r"(?:https?://|[\w.+-]{1,64}@[\w-]{1,63}\.\w)",
)
_LINK = _told(
    "link", 0.5, r"\b(?:https?://|www\.)[^\s]+|\b[\w-]{2,63}\.(?:com|net|org|io|ai|app|dev|example|xyz|info|ru|cn)\b"
)
_RUN = _told(
    "run",
    1.0,
    r"\b(?:curl|wget)\b[^\n]{0,120}\| ?(?:ba|z)?sh\b",
    r"\b(?:call|invoke|execute|run|use) (?:the )?(?:\w+[ _])?(?:tool|function|plugin"
    r"|command)s?\b[^.\n]{0,30}\b(?:delete|send|transfer|"
    r"refund|drop|email|export|with)",
    r"\brm -rf\b|\bdrop table\b|\bos\.system\(|\bsubprocess\.|\beval\(|__import__",
)

PATTERNS: Final = (*_OVERRIDE, *_PERSONA, *_FREED, *_ORDER, *_SECRET, *_CARRY, *_LINK, *_RUN)
"""Run on folded text."""

RAW: Final = (*_ROLE,)
"""Run on lower-case text that keeps its lines: where a line begins matters."""
