"""How people object and thank in English."""

from __future__ import annotations

from typing import Final

from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LEXICON"]

LEXICON: Final = Lexicon(
    objection="""
        (that|this|it|which) is (|a |an )(wrong|incorrect|false|untrue|inaccurate|mistaken|nonsense|rubbish|bullshit)
        (that's|it's) (|a |an )(wrong|incorrect|false|untrue|inaccurate|mistaken|nonsense|rubbish|bullshit)
        (that|this|it) (is not|isn't|was not|wasn't) (right|correct|true|accurate|helpful|useful|it.|good|what|how|the)
        (that's|it's) not (right|correct|true|accurate|helpful|useful|it.|good|what|how)
        that's not the (answer|question|point|one|right|issue|problem|same)
        (this|that) (answer|code|response|solution|link|one|result|output|function) is (wrong|incorrect|not right)
        (this|that) (answer|code|response|solution|link|one) (is not|isn't) (right|correct|working|what)
        (this|that) (answer|code|response|solution|link) (does not|doesn't|did not|didn't) (work|help|answer|run)
        (your|the) (answer|response|code|solution|output|result) (is|was|seems) (wrong|incorrect|false|not right)
        (your|the) (answer|response|code|solution|output|result) (is not|isn't) (right|correct|working|what)
        (your|the) (answer|code|solution) (does not|doesn't|did not|didn't) (work|help|answer|run)
        (answer|code|solution|output) is (wrong|incorrect)
        you are (wrong|mistaken|incorrect|not listening|not answering|missing)
        you're (wrong|mistaken|incorrect|not listening|not answering|missing)
        you (got|have) (it|that|this) wrong
        you (misunderstood|misread|misinterpreted|misheard|did not understand|didn't understand)
        you (don't|do not) understand
        you (forgot|missed|ignored|skipped|left out|made a mistake|made that up|are making|keep)
        you (did not|didn't) (answer|do|read|listen|follow|include|address|fix|change)
        (not|no) what i (asked|meant|wanted|said|need|needed|am asking|was asking|want|was looking)
        (that|this) (is not|isn't|was not|wasn't) my question
        (that's|this is) not my question
        i meant
        i mean (the|that|a|can|how|what|if|for|in|to|with|not)
        (no|wait|sorry) i mean
        your (first|last|previous|second|new) (answer|code) (does not|doesn't|did not|didn't|is wrong|is not|isn't)
        (did not|didn't|does not|doesn't) fix
        what i (meant|asked|wanted|actually)
        i (asked|was asking|am asking) (for|about|how|what|if|whether|why|where|when|which)
        i (did not|didn't) (ask|mean|say|want)
        i (said|told you)
        (that|this|it) (does not|doesn't|did not|didn't|won't|will not|is not|isn't) (|seem to )(work|help|working)
        (does not|doesn't|did not|didn't|not) (work|working).
        (does not|doesn't|did not|didn't) (answer|help)
        (that|this) (does not|doesn't|did not|didn't) (answer|make sense|address|solve|fix|do what|match)
        it (does not|doesn't|did not|didn't) (answer|address|solve|fix|do what)
        (not|isn't) (right|correct|true|helpful|quite.|really.|what i)
        (wrong|incorrect|false).
        wrong (answer|again|one|language|file|question|person|place|link|number|year|date|result|output)
        not (that|this) one
        (try|read|look|think|answer|check) (it |that |my question |the question |)again.
        same (error|problem|issue|mistake|result|wrong)
        (getting|get|got|gives|gave|i get|i got|i'm getting) (|me )the same (error|problem|issue|result)
        (that|this|it) (gives|gave|throws|threw|returns|returned) (|me )(an error|the wrong|errors|an exception)
        (that|this|it) is (useless|terrible|bad|not it.)
        useless.
        thanks for nothing
    """,
    thanks="""
        (thanks|thank you|thx|thanx|ty|tysm|cheers|many thanks|thank u|much appreciated|appreciate it|appreciated).
        (thanks|thank you|thx|thanx|many thanks)
        (i'm|i am) (|so |very |really )(grateful|thankful)
        i (|really |do )(thank|appreciate) (you|it|that|this|your|the|what)
        i (can't|cannot|can not|want to|would like to|need to|have to) thank you
        (you've|you have|you were|that was) (|been )(|a |so |very |really )(big help|great help|helpful|very helpful)
        (many|special|big|a thousand) (thank|thanks)
        (perfect|great|awesome|excellent|brilliant|amazing|wonderful|fantastic|nice|lovely|cool|sweet|superb).
        (perfect|great|awesome|excellent) (thanks|thank you|thx|answer|job|work)
        (brilliant|amazing|wonderful|fantastic|nice) (thanks|thank you|thx|answer|job|work)
        (exactly|spot on|bingo|precisely|that's it|this is it|got it|that's the one).
        (good|well) (job|done|answer|work|bot).
        (that|this|it) (works|worked|helps|helped|did the trick|solved it|fixed it|does the trick)
        (that|this) (is|was) (perfect|great|exactly|helpful|very helpful)
        (that|this) (is|was) (right|correct|what i need|what i needed|what i wanted|what i meant)
        (that's|it's) (perfect|great|exactly|helpful|awesome|excellent)
        (that's|it's) (right.|correct.|what i need|what i needed|what i wanted|what i meant)
        you (are|were) right.
        you're (right|the best|awesome|great|amazing).
        (it|that|this) is working now
        works (now|perfectly|great|well|like a charm)
        works.
    """,
    neither="""
        not right (now|away)
        no (thanks|thank you|thx|problem|worries|need)
        (thanks|thank you|thx|many thanks) (in advance|to|god|goodness|but no)
        thank you (email|e-mail|note|letter|card|message|page|mail|speech|gift|notes|cards|letters)
        (thanks|thank you) (anyway|no.)
        thanks (giving|email|note|letter|card)
        (that|this|it) is not (wrong|bad|a problem|an issue|the problem|the case)
        (that's|it's) not (wrong|bad|a problem|an issue)
        (that|this|it) (is not|isn't) (bad|a problem|an issue|good enough yet)
        (that's|that is|it's|it is) (wrong|incorrect|false) (with|about)
        (that|this) (is|was) (great|right) (but|now.)
        it works (by|with|as|when|if|on|like this|in|for|only|at)
        (that|this|it) (works|helps|worked) (by|with|as|when|if|on|in|for|only|at|how)
        i meant to (say |)(thank|thanks)
        i (said|asked) (yes|no problem|my|him|her|them)
        i told you (my|so|yesterday)
        (wrong|incorrect) (with|about)
        you (keep|missed) (up|me|nothing)
        you don't understand how
        what i (wanted|actually) to (say|ask|know|do) (is|was|next)
        it (doesn't|does not) (matter|help that)
        (this|it|that) (won't|will not) (be|take|work for)
        i asked (my|him|her|them|for time)
    """,
    openers="""
        no nope nah hm hmm hmmm oh ok okay well sorry hey hi hello wait but and so yes yeah ah uh um er actually why
        still unfortunately again please dude man bro lol omg
    """,
    fillers="""
        still just really completely totally actually quite again very simply clearly also even entirely so
    """,
    turns="but however though although",
    steps="""
        (now|next|then|also|and|additionally|finally|lastly|after that|in addition|okay now|ok now|great now)
        (what about|how about|same for|same thing for|do the same|another one|one more|continue|go on|keep going|more)
        (instead of|change|modify|update|make it|add|remove|rename|translate|convert it|shorten)
    """,
    common="""
        a an the of to in on at by for from with without and or if is are was be been am it its this that these those
        i you we they he she me my your our do does did how what which who when where why can could would should will
        shall may might must have has had get gets give make need want show tell use using used write code return
        returns function please some any all each every also just only there then than them into so as about like such
        way one wait let go help know find hi hello hey
    """,
)
