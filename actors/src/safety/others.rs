//! What people say who worry about someone else, and who have lost someone.

/// Someone else is in danger.
pub(super) const OTHER: &[&[&str]] = &[
    // Who, and the word.
    &[
        r" {WHO}({G}){0,4} suicidal ",
        r" {WHO}({G}){0,4} (talk|talks|talking|joke|jokes|joking|post|posted|posting|texting|wrote|writing)({G})? (about|of) (suicide|dying|ending it|killing|wanting to die) ",
    ],
    // Their hurting themselves.
    &[
        r" (want|wants|wanted|to|threatened|threatens|threatening|try|trying|tries|tried|will|hell|shell|might|about|of|could|been|started|is|caught) (kill|killing|hurt|hurting|harm|harming|hang|hanging|shoot|shooting|cut|cutting|drown|starving|off|unalive|burning) (him|her|them) ?sel(f|ves) ",
        r" (cuts|hurts|harms|burns|starves) (him|her|them) ?sel(f|ves) ",
    ],
    // Their wish to die.
    &[
        r" {WHO}({G}){0,5} not( really| even)? (want|wants)( to)? (live|be alive|exist|be here|wake up|go on|keep living){E}",
        r" {WHO}({G}){0,4} (wants to|want to|wanted to|would rather|hopes to|wishes (he|she|they)( was| were| had| would)*)( never| be| been| not){0,2} (die|dead|born|alive|disappear forever) ",
        r" {WHO}({G}){0,4} (end|ending|take|taking) ((his|her|their)( own)? (life|lives)|it all) ",
    ],
    // What they said and did.
    &[
        r" (say|says|said|saying|think|thinks|thought|told me|tells me|feels|texted)({G}){0,4} better( off)? (without (him|her|them)|if (he|she|they) (was|were|died)) ",
        r" {WHO}({G}){0,2} (took|swallowed|taken|downed)({G}){0,2} (all|bunch|bottle|handful|too many|whole|lots|loads|[1-9][0-9]+)({G}){0,3} {P} ",
        r" {WHO}({G}){0,3} (just|is|has)( just)? (overdosed|overdosing) ",
        r" {WHO}({G}){0,3} took an overdose ",
        r" {WHO}({G}){0,3} (on|off|from) (the|a) (roof|bridge|ledge)( [a-z.]+){0,6} (jump|come down) ",
        r" found (razor blades|blades|cuts|scars|a suicide note)({G}){0,5} (her|his|their|daughters|sons|sisters|brothers) ",
        r" {WHO}({G}){0,4} will not be (here|alive) (tomorrow|anymore|much longer) ",
        r" {WHO}({G}){0,4} goodbye (text|message|letter|note) ",
    ],
];

/// Someone has died. This is no danger, and the friend himself answers; it is known only so that it is not taken for danger.
pub(super) const BEREAVED: &[&[&str]] = &[
    // Someone has died by suicide.
    &[
        r" (killed|hanged|hung|shot) (him|her|them) ?sel(f|ves) ",
        r" (took|ended) (his|her|their)( own)? (life|lives) ",
        r" (committed|commited|died by|died from|died of|death by) suicide ",
        r" (lost|losing)({G}){0,6} to suicide ",
        r" {WHO}s suicide ",
    ],
];
