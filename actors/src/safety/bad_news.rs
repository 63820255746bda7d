//! Plain words of grave news. A small classifier goes by the sound of a message: "the tumour is back" has "back" in it, as good news have.
//!
//! Only what is grave in whoever's mouth stands here, said plainly; all else is left to the classifier, and so is a message with a
//! word of relief beside it, or one that tells a story.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::rules::{any, any_of, take_out};
use super::words::words;

/// Whether a message tells plainly of death, grave illness or ruin, and of nothing that relieves it.
pub fn is_bad_news(text: &str) -> bool {
    let mut words = words(text, true);
    take_out(&mut words, &OTHERWISE);
    let found = PATTERNS.matches(&words);
    let [dead, grave, relieved] = [0, 1, 2].map(|group| found.matched(group));
    dead || (grave && !relieved)
}

pub(super) fn prepare() {
    LazyLock::force(&OTHERWISE);
    LazyLock::force(&PATTERNS);
}

static OTHERWISE: LazyLock<Regex> = LazyLock::new(|| any(MEANT_OTHERWISE, PARTS));
static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| any_of(&[DEATH, GRAVE, RELIEF], PARTS));

/// Filled into the patterns.
const PARTS: &[(&str, &str)] = &[
    ("{DEAR}", r"(we|he|she|they|{NEAR}s?)"),
    (
        "{ELDER}",
        r"(mum|mummy|mom|mommy|mother|mama|dad|daddy|father|papa|gran|grandma|granny|grandmother|grandpa|grandad|granddad|grandfather|nan|nana|wife|husband|uncle|aunt|auntie|aunty|{PET})",
    ),
    ("{PET}", r"(dog|doggo|puppy|pup|cat|kitten|kitty|horse|pony|pet|rabbit|bunny|hamster|parrot)"),
    (
        "{NEAR}",
        r"(mum|mummy|mom|mommy|mother|mama|dad|daddy|father|papa|parent|gran|grandma|granny|grandmother|grandpa|grandad|granddad|grandfather|nan|nana|wife|husband|partner|fiance|fiancee|ex|girlfriend|boyfriend|gf|bf|son|daughter|child|kid|baby|twin|brother|bro|sister|sis|uncle|aunt|auntie|aunty|cousin|niece|nephew|friend|best ?friend|mate|bestie|roommate|neighbou?r|teacher|colleague|coworker|{PET})",
    ),
    ("{ILL}", r"(cancer|tumou?r|lump|leuka?emia|lymphoma|melanoma|metastas[ei]s)s?"),
    (
        "{WHEN}",
        r"(\.|last|this|today|yesterday|tonight|in|on|at|from|of|two|three|a|an|[0-9]+|just|suddenly|before|after|when|while|and|because|without)",
    ),
];

/// What is taken out first, as it means something else. As [`super::danger`] is written, but for the end of a word.
const MEANT_OTHERWISE: &[&str] = &[
    r" (died|dead|dying|dies|killed) (laughing|lol|lmao|of (laughter|laughing|boredom|embarrassment|cringe|cuteness)|at (this|that|it))\b",
    r" (dying|dead) (to|for|her|his|my|hair|eggs|asleep|serious|tired|funny|good|nice|right|wrong|lucky|silent|inside|end|weight|line|set|boring|lazy|on (the|our))\b",
    r" (almost|nearly) [a-z]+( [a-z]+)?\b",
    r" (thought|assumed|dreamt|dreamed|dream|scared|afraid|worried)( that)? (he|she|it|they|my [a-z]+|i) (was |were |is |are |had |have |would |might |will )(be |been )?(passed|dead|dying|died|killed|lost|losing|fired)\b",
    r" (character|villain|hero|protagonist|boss|npc)s?( [a-z]+){0,3} (died|dies|dead|killed|dying)\b",
    r" (he|she|they) (died|dies|is dead|is killed) in (the|that|this|season|episode|chapter|act) ?(movie|film|show|series|season|episode|finale|game|book|novel|end|[0-9]+|one|two|three)?\b",
    r" (fired|laid) (up|early)\b",
    r" (if|what if|would you( [a-z]+){0,2} if)( [a-z]+){1,3} (died|dies|dead)\b",
    r" (dream|dreams|dreamt|dreamed|nightmare)( [a-z]+){0,6}\b",
    r" died before i was born\b",
    r" (is|are|was) (my|the|he|she|it)( [a-z]+)? dead qq",
    r" (shot|killed) (him|her|them) ?sel(f|ves) (in the foot|laughing|in (minecraft|a game|the game))\b",
    r" passed( [a-z0-9]+){0,4} (tests?|exams?|driving|licen[cs]e|course|class|maths?|finals?|bar)\b",
    r" passed( today| this week)?( \.)+ (full|first|finally|with|so proud|licen[cs]e)",
    r" (baby|babies) (weight|fat|teeth|tooth|fever|bump)\b",
    r" (down|to sleep)( [a-z]+){0,4} (nap|bed|crate|lullaby|sofa|floor)\b",
    r" shots were fired\b",
    r" (miscarriage of justice|stroke of (luck|genius)|lump in (my|his|her|the) (throat|oatmeal|batter))\b",
    r" (feels?|felt|feeling) like( [a-z]+){1,6}\b",
    r" hope (you|u|that|he|she|they|it|to)( [a-z]+){1,4}\b",
    r" i hope( [a-z]+){1,6}\b",
    r" not( [a-z]+){0,2} (ok|okay|good|fine|better|well|safe|curable|treatable|negative|in remission)\b",
    r" (back on coke zero|(house|home) ?keys?)\b",
    r" (murder mystery|dead ?line)\b",
];

const DEATH: &[&str] = &[
    r" {DEAR} (just |has |have |had |suddenly |also |all |both )*(died|dies|passed away|drowned)\b",
    r" {ELDER} (just |has |have |had |suddenly )*passed (on )?(\.|last|this|today|yesterday|tonight|two|three|a (week|month|year|day)|in (january|february|march|april|may|june|july|august|september|october|november|december|[0-9]+)|[0-9]+)",
    r" {NEAR}s? (just |is |are |was |were |has been |have been |got |been )*(dead|dying|murdered|stillborn|brain ?dead|gone forever)\b",
    r" (he|she) (is|was) (dead|dying|stillborn|brain ?dead)\b",
    r" (is|are) not with us anymore\b",
    r" (he|she|they|{NEAR}s?)( [a-z]+){0,2} (did not|do not) (make it( (through|home|to the hospital))?( the night)? (\.|through|and)|survive|pull through|wake up (\.|again|from))",
    r" (killed|hanged|hung|shot) (himself|herself|themselves|themself|him ?self|her ?self)\b",
    r" (committed|died by) suicide\b",
    r" (took|taken|taking) (his|her|their) own life\b",
    r" (we|i) (have |just )*lost (my|our) ({NEAR}|parents) (\.|last|this|today|yesterday|to|in|when|and|tonight|[0-9]+)",
    r" (lost|losing|loosing) (the|our|my|a|her|both) (baby|babies|twins|pregnancy) (\.|at|last|this|today|yesterday|in|and|to|after|when|on)",
    r" (buried|burying|cremated) (my|our|his|her) {NEAR}\b",
    r" (had to put|having to put) (my |our |the )?(old )?{PET}s? (down|to sleep)\b",
    r" had to put (him|her|them) (down|to sleep)\b",
    r" no heartbeat\b",
    r" {PET}s? (just |was |has been |is )*(got |been )?(run over|hit by)\b",
];

const GRAVE: &[&str] = &[
    r" (miscarried|miscarriage|stillbirth|stillborn|funeral|cremation|burial|hospice|autopsy)\b",
    r" {DEAR} (is|are|was|were|got|been) (just |also |all |both |now )*(terminal|on life support|in (a )?(coma|hospice|palliative care|intensive care|icu|the icu)|missing( since [a-z]+)? (\.|since|for|from)|shot|stabbed|attacked)",
    r" (was|got|been) (just )?(raped|assaulted|stabbed)\b",
    r" (turn|turning|turned|switch|switching|switched) (his |her |the )?(machines?|ventilator|life support) off\b",
    r" (turn|turning|turned|switch|switching|switched) off (his|her|the) (machines|ventilator|machine (tomorrow|today|tonight))",
    r" (took|taking|take|taken) (him|her|them|my [a-z]+) off life support\b",
    // Illness.
    r" {ILL} (is|has|have|came|come|has come|are|was)( now| already)? (back|spread|spreading|growing|grown|returned|terminal|inoperable|incurable|malignant|aggressive|worse|stage)\b",
    r" {ILL} (back|spread|grew|returned|came back)\b",
    r" (have|has|had|got|with|found|find) (a |an |the |another |more |terminal |aggressive |brain |breast |lung |bowel |colon |pancreatic |ovarian |skin |bone |liver |prostate |throat |blood )*({ILL}( [a-z]+){0,3} (\.|in|on|and)|(mass|shadow) (in|on) (my|his|her|their|the) (breast|lungs?|liver|brain|scan|kidney|ovary|neck|pancreas|x ?ray))",
    r" (it|he|she) (is|has) (now )?(malignant|inoperable|incurable|metastatic|metastasi[sz]ed|stage (3|4|three|four|iii|iv))\b",
    r" (scans?|biopsy|biopsies|mri|bloods)( [a-z]+){0,6} (spread|malignant|growing|bad)\b",
    r" (tests?|results?)( [a-z]+){0,5} (malignant|positive for (huntingtons|cancer|hiv|ms|als|leuka?emia))\b",
    r" (diagnosed with|diagnosis is|it is) (a |an |the |early onset |stage [0-9a-z]+ |terminal )*(cancer|leuka?emia|lymphoma|als|mnd|hiv|parkinsons|alzheimers|dementia|huntingtons|lupus|cystic fibrosis)\b",
    r" (has|have|got) (hiv|als|mnd|dementia|alzheimers|parkinsons|huntingtons)\b",
    r" (weeks|months|days) to live \.",
    r" (doctors?|they|vets?) (gave|gives|give|given) (me|him|her|them|us|my [a-z]+) ([a-z]+ |[0-9]+ )?(weeks|months)( to live| left)? (\.|max|at most)",
    r" nothing (more|else|left)?( that)? ?(they|the vets?|the doctors?) can do\b",
    r" (had|having|has had) (a |another )?(massive |second |huge |big )*(heart attack|stroke|seizure|aneurysm|brain bleed)s?\b",
    r" (dementia|alzheimers|parkinsons) is (getting |so much |much )?(bad|worse)\b",
    r" (amputate|amputated|amputation|paraly[sz]ed)\b",
    r" (got|was|been|is|were) (hit|run over|struck|knocked down) by (a|the|some) ([a-z]+ )?(car|bus|truck|lorry|train|tram|van|driver)\b",
    // Addiction.
    r" back on (the )?(pills|drugs|heroin|meth|coke|crack|fentanyl|oxy|booze|bottle|needle)\b",
    r" {DEAR} (is |has |have )?(just )?(relapsed|overdosed|od d|(drinking|using|shooting up) again)\b",
    // Ruin.
    r" (lost|losing|loosing) (my|our|his|her|their|the) (house|home|flat|job|savings)\b",
    r" lost (everything|all my (savings|money))\b",
    r" i (just |also )*(got|was|have been|am being|am getting) (just )?(fired|sacked|laid off|made redundant|evicted|cheated on|deported|dumped)\b",
    r" {NEAR}s? (just )?(got|was|has been|is being) (just )?(fired|sacked|laid off|made redundant|evicted|deported)\b",
    r" (they|my boss|boss) (just )?fired me\b",
    r" let go( today| yesterday| this morning)? (from (work|my job)|after [0-9a-z]+ years)\b",
    r" i am homeless\b",
    r" (my|our) (house|home|flat|apartment|shop|barn)( just| has)? (burned|burnt|burns) down\b",
    r" house (burned|burnt) down\b",
    r" (bank|court|cps|social services) (is |are |has |have )?(taking|took|taken|takes) (away )?(my|our|the) (house|home|kids?|child|children|son|daughter|baby|farm)\b",
    r" took (my|our) (kids|children|baby) (away|from (me|us))\b",
    r" (called|calling|calls) off (the|our|my) (wedding|engagement)\b",
    r" (divorce papers|wants a divorce|filed for divorce)\b",
    r" (cheated|cheating) on me\b",
    r" (left|dumped) me (\.|for [a-z]+ (woman|man|girl|guy|one)|for (her|him|my|another|someone)|last|today|yesterday)",
];

/// What makes such a message another one: then the classifier is asked alone.
const RELIEF: &[&str] = &[
    r" (remission|benign|cured|recovered|recovering|survived|survives|survivor|beat|beats|beaten|beating|negative|shrunk|shrinking|smaller|treatable|curable|healed|false alarm|miracle|all clear|clear of|cleared|(cancer|tumou?r) free)\b",
    r" not (have |had |a |the |found |find |any |really |actually |even |been |get |got |getting |be )*({ILL}|malignant|terminal|spread|fired|sacked|laid off|evicted|back|grown|lose|lost)\b",
    r" not (that |so |too )?bad\b",
    r" no (more |sign of |signs of |evidence of |trace of |the |a |any )*{ILL}\b",
    r" {ILL} (is|are) (all |completely |now )?gone\b",
    r" (last|final|end of|finished|finish|done with|over with) (my |his |her |the )?(day of |round of )?(chemo|treatment|radiation|cancer)\b",
    r" rang the bell\b",
    r" (woke up|is awake|is breathing|breathed|breathing|saved|rescued|safe)\b",
    r" (is|are|am|was|be|feel|feels|feeling|doing|getting|looks|look|came out) (now )?(so |much |really |all |totally |perfectly |completely )*(ok|okay|fine|better|safe|good|great|alright|stable|alive|home)\b",
    r" (happy|happier|happiest|glad|relie[fv]ed|relief|thank god|thankfully|thankful|grateful|yay+|woohoo|hooray|celebrat[a-z]+|excited|proud|good news|great news|congrat[a-z]*|finally (free|divorced|got (fired|laid off|dumped))|luckily|laughed|best (day|thing|news|decision))\b",
    r" (could have|would have|might have|joking|kidding|prank|if (i|we|he|she|they) (got|get|lose|lost|had))\b",
    r" make it (himself|herself|themselves|myself|on|in time|back|big|out)\b",
    // In stories, games and horoscopes, and where it is somebody's work.
    r" (movie|film|season|episode|game|games|novel|chapter|character|boss fight|minecraft|sims|zodiac|horoscope|star sign|sun sign|he is a leo|virgo|gemini|pisces|aries|taurus)\b",
    r" (charity|research|researcher|awareness|fundrais[a-z]+|donat[a-z]+|marathon|screening|oncologist|thesis|essay|rehears[a-z]+|scene|documentary)\b",
];

#[cfg(test)]
mod tests {
    use super::is_bad_news;

    #[test]
    fn plain_words_of_death_illness_and_ruin_are_bad_news() {
        for text in [
            "the tumour is back|The tumor is back…|the cancers back|my mums scan came back n its spread|they found another lump|its stage 4",
            "the biopsy came back malignant|my test came back positive for huntingtons|mums in hospice now|my dad has dementia",
            "dad didnt make it through the night|he passed away this morning|my grandma died this morning|my dad passed last week|my moms dead",
            "hi, hope youre good. my dad died|my mum died and i have an exam|he was getting better and then he died|my dad killed himself",
            "we lost the baby|there was no heartbeat|we had to put our dog down today|they are turning off the machine tomorrow|my dog got run over",
            "the vet says theres nothing more they can do|my brother is back on the pills|he relapsed|funeral is on friday",
            "got let go today after 12 years|lost my job, lost my girl, all in one week haha|i got fired today|they fired me|i lost everything",
        ] {
            text.split('|').for_each(|text| assert!(is_bad_news(text), "{text}"));
        }
    }

    #[test]
    fn what_is_relieved_told_of_a_story_or_meant_otherwise_is_left_to_the_classifier() {
        for text in [
            "my mum beat cancer!!|the tumour is benign|the cancer is gone|its not cancer|no sign of the tumour anymore|last day of chemo today",
            "i didnt get fired|dad had a stroke but he is doing okay|finally got laid off and im so happy|i almost died, he said|",
            "the main character died in the season finale|my phone died|she died laughing|im a cancer, hes a leo|lost my house keys",
            "ran ten k for cancer research|i got the job!!|my friend is back from spain|my sister is dying to meet you|the baby is dead asleep",
            "they are dead to me|i put my son to sleep|put the baby down|my cat is odd|they took the kids to the beach|my boss gave me two days off",
            "i didnt make it today, sorry|nothing we can do about the rain|turn off the machine|feels like ive been hit by a bus|we got fired up",
            "got a lump in my throat|my test scores are growing|grandma passed on her recipe|had a stroke of luck|he made it himself, its from the bakery",
            "hes off the ventilator, breathing on his own!|he left me this note|my sister passed today!! full licence|my brother passed two exams|i lost the baby weight|my boyfriend is missing me already|the vet gave him two weeks of meds|\
             i found a shadow in the photo|mri was not bad|put my dog to sleep on his new bed|he shot himself in the foot|what if my cat died|i dreamt my mum died|\
             i hope someone got fired for that|i lost my friends hoodie|mum is dying her hair",
        ] {
            text.split('|').for_each(|text| assert!(!is_bad_news(text), "{text}"));
        }
    }
}
