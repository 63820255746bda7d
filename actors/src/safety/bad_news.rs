//! Plain words of grave news. A small classifier goes by the sound of a message: "the tumour is back" has "back" in it, as good news have.
//!
//! Only what is grave in whoever's mouth stands here, said plainly; all else is left to the classifier, and so is a message with a
//! word of relief beside it.

use std::sync::LazyLock;

use regex::RegexSet;

use super::rules::any_of;
use super::words::words;

/// Whether a message tells plainly of death, grave illness or ruin, and of nothing that relieves it.
pub fn is_bad_news(text: &str) -> bool {
    let words = words(text, true);
    let found = PATTERNS.matches(&words);
    found.matched(0) && !found.matched(1)
}

pub(super) fn prepare() {
    LazyLock::force(&PATTERNS);
}

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| any_of(&[GRAVE, RELIEF], PARTS));

/// Filled into the patterns.
const PARTS: &[(&str, &str)] = &[
    ("{DEAR}", r"(i|we|he|she|they|him|her|them|{NEAR}s?)"),
    (
        "{NEAR}",
        r"(mum|mummy|mom|mommy|mother|mama|dad|daddy|father|papa|parent|gran|grandma|granny|grandmother|grandpa|grandad|granddad|grandfather|nan|nana|wife|husband|partner|fiance|fiancee|girlfriend|boyfriend|gf|bf|son|daughter|child|kid|baby|twin|brother|bro|sister|sis|uncle|aunt|auntie|aunty|cousin|niece|nephew|friend|mate|bestie|roommate|neighbou?r|teacher|colleague|coworker|dog|doggo|puppy|pup|cat|kitten|kitty|horse|pony|pet|rabbit|bunny|hamster|parrot)",
    ),
    ("{ILL}", r"(cancer|tumou?rs?|lumps?|leuka?emia|lymphoma|melanoma|metastas[ei]s|disease|infection)"),
];

/// As [`super::danger`] is written, but for the end of a word.
const GRAVE: &[&str] = &[
    // Death.
    r" {DEAR} (just |has |have |had |suddenly |also |all |both )*(died|dies|passed away|passed on|drowned)\b",
    r" {DEAR} (is|are|was|were|got|been|has been|have been) (just |also |all |both |now )*(dead|dying|killed|murdered|gone forever|stillborn|terminal|braindead|brain dead|on life support|in (a )?(coma|hospice|palliative care|intensive care|icu|the icu))\b",
    r" {DEAR}( [a-z]+){0,2} (did not|do not) (make it|survive|pull through)\b",
    r" (lost|losing|loosing|lose) (my|our|his|her|their|the|a|both) ([a-z]+ )?({NEAR}s?|pregnancy|parents|house|home|flat|job|savings)\b",
    r" (miscarried|miscarriage|stillbirth|stillborn|funeral|cremation|burial|hospice|autopsy)\b",
    r" (buried|burying|cremated) (my|our|his|her|him|them|{NEAR})\b",
    r" (put|putting|had to put) (my |our |the )?(old )?(him|her|{NEAR})s? (down|to sleep)\b",
    r" (took|taken|taking) (his|her|their) own life\b",
    r" (turn|turning|turned|switch|switching|switched) (it |her |him |them )?off (the )?(machines?|ventilator|life support)\b",
    r" (turn|turning|turned|switch|switching|switched) (the )?(machines?|ventilator|life support) off\b",
    // Grave illness.
    r" {ILL} (is|has|have|came|come|has come|are|was)( now| already)? (back|spread|spreading|growing|grown|returned|terminal|inoperable|incurable|malignant|aggressive|worse|stage)\b",
    r" {ILL} (spread|grew|returned|came back)\b",
    r" (have|has|had|got|with|of|found|find) (a |an |the |another |more |terminal |aggressive |brain |breast |lung |bowel |colon |pancreatic |ovarian |skin |bone |liver |prostate |throat |blood )*{ILL}\b",
    r" (it|he|she|this) (is|has|was) (now )?(malignant|terminal|inoperable|incurable|metastatic|spread|stage (3|4|three|four|iii|iv))\b",
    r" (scans?|biopsy|tests?|results?|mri|ct|bloods|x ?ray)( [a-z]+){0,6} (spread|malignant|growing|positive for (huntingtons|cancer|hiv|ms|als|leuka?emia))\b",
    r" (diagnosed with|diagnosis is|it is) (a |an |the |early onset |stage [0-9a-z]+ |terminal )*(cancer|leuka?emia|lymphoma|ms|als|mnd|hiv|parkinsons|alzheimers|dementia|huntingtons|lupus|cystic fibrosis)\b",
    r" (weeks|months|days) (left )?to live\b",
    r" (gave|gives|given|giving) (me|him|her|them|us|my [a-z]+) ([a-z]+ |[0-9]+ )?(weeks|months|days)\b",
    r" nothing (more|else|left)?( that)? ?(they|we|the vets?|the doctors?|anyone|anybody) can do\b",
    r" (had|having|has had) (a |another )?(massive |second |huge |big )?(heart attack|stroke|seizure|aneurysm|brain bleed)s?\b",
    r" (dementia|alzheimers|parkinsons) is (getting |so much |much )?(bad|worse)\b",
    r" (amputate|amputated|amputation|paraly[sz]ed)\b",
    r" (hit|run over|struck|knocked down) by (a|the|some) ([a-z]+ )?(car|bus|truck|lorry|train|tram|van|driver)\b",
    // Addiction.
    r" back on (the )?(pills|drugs|heroin|meth|coke|crack|fentanyl|oxy|booze|bottle|drink|needle)\b",
    r" {DEAR} (is |has |have )?(just )?(relapsed|overdosed|od d|odd|ood|(drinking|using|shooting up) again)\b",
    // Ruin.
    r" (got|getting|was|been|being|am|were|are|is|gets|get) (just |all |both )*(fired|sacked|laid off|made redundant|evicted|cheated on|foreclosed on|deported)\b",
    r" let go( today| yesterday| this morning)? (from (work|my job)|after [0-9a-z]+ years)\b",
    r" (house|home|flat|apartment|shop|barn)( just| has)? (burned|burnt|burns) down\b",
    r" (bank|court|cps|social services|they) (is |are |has |have )?(taking|took|taken|takes) (away )?(my|our|the) (house|home|kids?|child|children|son|daughter|baby|farm)\b",
    r" (called|calling|calls) off (the|our|my) (wedding|engagement)\b",
    r" (divorce papers|wants a divorce|filed for divorce)\b",
    r" (cheated|cheating) on me\b",
];

/// What makes such a message another one: then the classifier is asked alone.
const RELIEF: &[&str] = &[
    r" (remission|benign|cured|recovered|recovering|survived|survives|survivor|beat|beats|beaten|beating|negative|shrunk|shrinking|smaller|treatable|curable|healed|false alarm|miracle|free|all clear|clear of|cleared)\b",
    r" not (have |had |a |the |found |find |any |really |actually |even |been |get |got |getting |be )*(cancer|tumou?rs?|lumps?|malignant|terminal|spread|dead|dying|die|fired|sacked|laid off|evicted|back|grown|lose|lost)\b",
    r" no (more |sign of |signs of |evidence of |trace of |the |a |any )*{ILL}\b",
    r" {ILL} (is|are) (all |completely |now )?gone\b",
    r" (last|final|end of|finished|finish|done with|over with) (my |his |her |the )?(day of |round of )?(chemo|treatment|radiation|cancer)\b",
    r" rang the bell\b",
    r" (woke up|is awake|is breathing|saved|rescued|safe)\b",
    r" (is|are|am|was|be|feel|feels|feeling|doing|getting|looks|look|came out) (now )?(so |much |really |all |totally |perfectly |completely )*(ok|okay|fine|better|safe|good|great|alright|stable|alive|home)\b",
    r" (happy|happier|happiest|glad|relie[fv]ed|relief|thank god|thankfully|thankful|grateful|yay+|woohoo|hooray|celebrat[a-z]+|excited|proud|good news|great news|congrat[a-z]*|finally|luckily|best (day|thing|news|decision))\b",
    r" (almost|nearly|hope|hoping|could have|would have|might have|if i|if we|thought|dreamt|dreamed|dream|joking|kidding|prank)\b",
    r" make it (himself|herself|themselves|myself|to|on|in time|home|back|big|out)\b",
    // In stories and under the stars, and of what never lived.
    r" (movie|film|show|series|season|episode|game|games|book|novel|song|chapter|character|plot|level|match|boss fight|minecraft|sims|zodiac|horoscope|star sign|sun sign|leo|virgo|gemini|pisces|aries|taurus)\b",
    r" (charity|research|researcher|awareness|fundrais[a-z]+|donat[a-z]+|marathon|screening|nurse|oncologist|exam|thesis|essay)\b",
    r" (died|dead|dying|dies|killed) (of |from |with |at |by )?(laughing|laughter|lol|lmao|boredom|embarrassment|cringe|cuteness|it|this|that)\b",
    r" ((lost|lose|losing) (my|our|his|her|their) (house|home|flat|job) ?(key|keys|badge|pass|bet))\b",
];

#[cfg(test)]
mod tests {
    use super::is_bad_news;

    #[test]
    fn plain_words_of_death_illness_and_ruin_are_bad_news() {
        for text in [
            "the tumour is back",
            "The tumor is back…",
            "my mums scan came back n its spread",
            "they found another lump",
            "its stage 4",
            "the biopsy came back malignant",
            "dad didnt make it through the night",
            "my brother is back on the pills",
            "he passed away this morning",
            "we lost the baby",
            "we had to put our dog down today",
            "they are turning off the machine tomorrow",
            "the vet says theres nothing more they can do",
            "mums in hospice now",
            "my test came back positive for huntingtons",
            "got let go today after 12 years",
            "lost my job, lost my girl, all in one week haha",
            "funeral is on friday",
            "he relapsed",
        ] {
            assert!(is_bad_news(text), "{text}");
        }
    }

    #[test]
    fn what_is_relieved_told_of_a_story_or_meant_otherwise_is_left_to_the_classifier() {
        for text in [
            "my mum beat cancer!!",
            "the tumour is benign",
            "the cancer is gone",
            "its not cancer",
            "no sign of the tumour anymore",
            "last day of chemo today",
            "i didnt get fired",
            "dad had a stroke but he is doing okay",
            "finally got laid off and im so happy",
            "the main character died in the season finale",
            "my phone died",
            "she died laughing",
            "im a cancer, hes a leo",
            "lost my house keys",
            "ran ten k for cancer research",
            "i got the job!!",
            "my friend is back from spain",
            "",
        ] {
            assert!(!is_bad_news(text), "{text}");
        }
    }
}
