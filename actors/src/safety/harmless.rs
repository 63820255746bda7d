//! Phrases with the same words that mean something else: they are taken out before danger is looked for.

/// As [`super::danger`] is written. A line that ends without a space may go on within the word.
pub(super) const HARMLESS: &[&[&str]] = &[
    // Titles, sayings and things with the word in them.
    &[
        r" suicide (squad|squeeze|door|doors|run|runs|bomb|bomber|bombing|prevention|awareness|hotline|rate|rates)",
        r" virgin suicides",
        r" suicidal (tendencies|move|charge|mission|drivers?)",
        r" die hard",
        r" live and let die",
        r" ways to die in",
        r" dumb ways to die",
        r" dead (asleep|serious)",
        r" how many (times|of us|people)",
    ],
    // Dying of laughter, and of anything else that kills nobody.
    &[
        r" (die|died|dying|dead) (laughing|of (laughter|boredom|embarrassment|shame|cringe|curiosity|cold|heat|thirst|hunger|this|the|a|an|cancer|old)|to (see|meet|know|hear|try|tell|get|visit)|for (a|an|some|the|that))\b",
        r" (going to|could|might|will|would) die( now)?( \.)* (lol|lmao|haha)",
    ],
    // What is denied.
    &[
        r" not( really)? (want|ready|going|wanting) to die\b",
        r" rather( just)? die than (eat|wear|watch|listen|drink|go|have|do|admit|use|buy|work|see|talk|drive)\b",
        r" not even with a gun",
    ],
    // Doing it in a game, or by laughing.
    &[
        r" kill(s|ed|ing)? myself (laughing|lol|in (minecraft|a game|the game|that game)|with my own( [a-z]+){1,3} in )",
        r" shoot(ing)? myself in the foot",
        r" shot myself (a|an) ",
        r" cut myself (some slack|off|short)\b",
        r" sleep when i am dead",
    ],
    // Accidents in kitchens and at sports.
    &[
        r" (cut|cutting|hurt|burn|burned|burnt|stabbed|scratched|sliced|slit) (myself|my [a-z]+)( open)?( [a-z]+){0,5} (at (football|soccer|practice|training|the gym|work|basketball)|accident|accidentally|snowboarding|skateboarding|skating|surfing|cycling|shaving|cooking|chopping|slicing|peeling|lifting|running|climbing|gardening|moving|playing|ironing|baking|cleaning|laughing|making|opening|fixing|falling|trying to (open|cook|lift|fix|cut|make)|can|tin|lid|glass|fence|paper|oven|stove|iron|nail|thorn|thorns|bush|metal|rock|pan|kettle|envelope|wire|straightener|oil)\b",
        r" (fall|fell|falling|slip|slipped|trip|tripped)( [a-z]+){0,3} (hurt|cut) myself",
    ],
    // Diets, and kilometres.
    &[
        r" starving myself (until|for|before) ",
        r" [0-9]+ ?kms",
        r" (ran|run|few|many|hundred|thousand|walked|counts|for|low) kms",
        r" kms (is|are|per|away|from|not|on a|on the) ",
    ],
    // Too much of something harmless.
    &[
        r" overdos(e|ed|ing)( myself)?( a bit)? on (chocolate|coffee|caffeine|netflix|sugar|cake|candy|sweets|tv|memes|cheese|carbs|pizza|food|ice|tiktok|anime|cute|christmas|garlic|vitamin|vitamins)",
    ],
    // Medicine as it should be taken; pets; jumping with a rope.
    &[
        r" (have|need|remember|forget|forgot|supposed|time) to (take|swallow)( all)?( of)? (my|the|these|those)( [a-z]+)? (pills|tablets|meds|medication|vitamins)",
        r" (dog|cat|puppy|kitten|toddler|baby) (ate|swallowed|got into)( [a-z]+){0,4}",
        r" (bungee|base|cliff) jump[a-z]*( off| from)?( a| the)? [a-z]+",
    ],
    // Stories.
    &[
        r" (character|characters|hero|villain|protagonist|npc|boss|sim|patient)( [a-z]+){0,3} (want|wants|wanted|tries|is going|decides) to (die|kill|end)[a-z]*",
        r" (watching|watched|movie|film|book|novel|series|episode|anime)( [a-z.]+){0,8} (kills|killed|shot|hangs|hanged) (him|her)self",
        r" life (in)?to my own hands",
        r" be here anymore \. (this|the|my) (party|class|meeting|lecture|office|wedding|queue)",
    ],
];
