//! What people say who are in danger themselves: of suicide, or of hurting themselves.

/// Phrases of one's own danger, as [`super::words`] writes them. Each group is one pattern, each line one way of saying it; a space at
/// an end is the end of a word.
pub(super) const DANGER: &[&[&str]] = &[
    // Doing away with oneself, in plain words.
    &[
        r" (kill|killing|killed|kys|end|ending|hang|hanging|hanged|shoot|shooting|shot|drown|drowning|strangle|suffocate|electrocute|poison|starve|starving|unalive|unaliving|neck|off|offing|rope|yeet|delete) my ?self ",
    ],
    // What is said for it, or by those who avoid the word.
    &[r" (kms|ctb|suicidal|unalive|unaliving) ", r" (to|time to) rope "],
    // Suicide as a plan or a thought.
    &[
        r" (commit|committing|attempt|attempting|consider|considering|contemplating|planning|plan|my|my own|own|tried|want to|i attempted|i have attempted) suicide ",
        r" (think|thinking|thought|thoughts|dream|dreaming|fantasi[sz]ing)({G}){0,3} (about|of)({G})? suicide ",
        r" suicide (note|letter|plan|thoughts|seems|feels|sounds) ",
        r" suicide is ({G})?(my|the) ",
        r" \. suicide \. ",
    ],
    // Ending one's life.
    &[
        r" (end|ending|ended|take|taking|took) (my|this)( own)? life ",
        r" (my|this) life to (end|be over|stop) ",
        r" my life({G}){0,6} want it to (end|be over|stop) ",
        r" end(ing)? it all ",
        r" (want|going|ready|planning|plan|think|thinking|about|should|might|tempted|urge|maybe)({G}){0,3} end(ing)? (it|things)( all)? (\.|tonight|now|soon|here|today|for good|for real|once) ",
    ],
    // The wish to die.
    &[
        r" (want|wants|wanted|wanting|ready|rather|prefer|tempted|i should|i deserve|i need|i just need|i really need|why can not i|can i|could i|might as well|may as well|feel like|feels like|think about|think of|thinking|thoughts|thought about|dream|dreaming|fantasize|fantasizing|obsessed|ways|let me|hope i|wish i|pray i|hoping i)( to| too| 2| just| really| so| badly| be| about| of| the| a| how| i| would| could| was| were| had| it| like| only| fucking| is| not| bad| much| and| maybe| all| up| ways| bad){0,6} (die|dying|dead|exist|existing|not being (here|around|alive)|d i e|di e) ",
        r" i am going to die (tonight|tomorrow|today|soon) ",
    ],
    // The wish not to have been, and to be dead.
    &[
        r" (wish|wished|wishing)( that)? i( had| would| was| were| could)*( never| not| be| been| do)* (dead|gone|alive|born|exist|existed|here anymore|dead already) ?\.",
        r" (wish|wished) i( had| would| was| were| could)*( never| not)( be| been)* (born|alive|exist|existed)",
        r" i (had|would have|should have|have) never been born ",
        r" should (not|never) (have been|be) (born|alive) ",
        r" should not exist ",
        r" (better|happier|easier|nicer|rather|prefer)( off)?( to)?( be)? dead ",
        r" (hate|regret|hating|why am i|not meant to|not supposed to)( even| still)?( be| being)? (alive|exist|existing|breathing) ",
    ],
    // The wish not to wake up.
    &[
        r" (want|hope|hoping|wish|pray|praying|sleep|asleep|bed|rather)( [a-z]+){0,6} (not|never)( [a-z]+){0,3} (wake|woke|waking) up{E}",
        r" not (want|need|wish|care)( [a-z]+){0,2} (wake|woke) up{E}",
        r" if i (do|did) not wake up tomorrow ",
        r" if i never (wake|woke) up ",
        r" if i( just)? (do|did) not exist ",
        r" i( [a-z]+){0,6} (gone|check(ing)? out) for good ",
        r" i (want|wish) to never wake up ",
        r" (disappointed|sad|angry|mad|upset)( that)? i woke up ",
        r" (sleep|asleep|rest) (forever|for good|and never) ",
    ],
    // No wish to live.
    &[
        r" (not|never)( really| even| just| i){0,2} (want|wanting|care|deserve|wish|need|plan|know|see|feel|think)( really| even| like| want| to| too| 2| if| why| i| should| can| how| that| bother| keep){0,6} (live|living|be alive|being alive|stay alive|alive|exist|existing|go on){E}",
        r" (lost|losing|lose|no|without|lack|zero)( all)?( the| my| any)? (will|wish|desire|strength) to (live|go on|exist|be alive|keep living) ",
        r" (care|matter|matters|mind)( [a-z]+)? (if|whether) i (live|die|wake up|survive|exist) ",
    ],
    // No strength to go on.
    &[
        r" (can not|not think i can|not know if i can)( even| just)? (live|go on|keep going|carry on|keep living|survive)( on)?( living)?( with (this|the)( [a-z]+){1,2})?( like( this| ths)?)? (anymore|any longer|much longer|another (day|night)) ",
        r" i can not go on (\.|living) ",
        r" (not|never) (want|wanting) to (be (here|around) anymore|do (this )?life|see (tomorrow|another day|the morning)|(be|live|exist) (in|on) this (world|earth|planet)) ",
        r" can not do (this )?life ",
    ],
    // Tired of living.
    &[
        r" (tired|sick|exhausted|weary|fed up|hate|hating|done|giving up|give up|gave up|given up)( of| with| on)* (living|life|being alive|existing|existence|breathing|being here|this life){E}",
    ],
    // No reason to live.
    &[
        r" (no|any|single|one|what is the|see the|see a|not a|not have a)( [a-z]+){0,2} (reason|reasons|point|purpose|use|hope)( left)?( in| to| of| for| me| even| keep| trying| try| go on| carry on| stay| i should| why| be| being){0,6} (live|living|alive|existing|exist|going on|be here|being here|wake up){E}",
        r" not see why( [a-z]+){0,3} (live|living) ",
        r" (anything|nothing)( [a-z]+){0,2} (to live|living) for ",
        r" nothing( [a-z]+){0,5} (stay alive|keeps me alive) ",
        r" (life|living)( [a-z]+){0,2} not( really)? worth (it|living) ",
        r" not worth living ",
        r" point of living{E}",
        r" only (thing|reason|person)( [a-z]+){0,5} (alive|still here|have not (done|ended|killed)) ",
        r" only (stay|staying|i am) alive (for|because) ",
    ],
    // No future, and pain that must end.
    &[
        r" (can|do|could) not (see|imagine|picture|have)( a| any| my| myself| me){0,3} (future|way out|alive|making it|living past|reaching|past [0-9]+) ",
        r" (want|need|wish)( [a-z]+){0,2} (pain|suffering|hurting|thoughts|everything|it all|all of it|misery) to( just)? (stop|end|be over) ",
        r" end (my|the|this) (pain|suffering|misery) ",
    ],
    // Others better off.
    &[
        r" better off( [a-z]+)? (without me|if i|when i am (dead|gone)) ",
        r" (happier|better|better place|relieved|easier)( [a-z]+){0,2} (without me|(when|once|if) i am (gone|dead))( in it| here| around)?{E}",
        r" (better|easier|happier|happy|relieved|relief|miss|care|cares|notice|notices|cry|matter|difference|best|world)( [a-z]+){0,6} if i( [a-z]+){0,2} (gone|dead|died|die|disappear|disappeared|vanished|not (here|around|alive|exist|in the way)|killed myself|left this world) ",
        r" if i( just| suddenly| was| were| am)* (died|dead|disappeared|vanished|not here|not around)( \.)?( [a-z]+){0,4} (nobody|everyone|anyone|care|miss|notice|better|happier) ",
        r" (miss|care|notice|notices|better|happier|easier|happy)( [a-z]+){0,4} (if|when|once) i am (gone|dead|not (here|around)) ",
        r" when i am dead( [a-z]+){0,4} (happy|happier|miss|better|relieved) ",
        r" happier( [a-z]+){0,2} never had me ",
    ],
    // Leaving the world.
    &[
        r" (want|wish|need|ready)( [a-z]+){0,3} (disappear|vanish|cease to exist|stop existing) (forever|completely|for good|and never|from (this|the) (world|earth)|\.)",
        r" (not|never|no)( [a-z]+){0,2} (belong|place for me|meant|made|built|cut out)( [a-z]+)? (in|on|for) this (world|earth|life|planet) ",
        r" (leave|leaving|left) this (world|earth|planet|life) ",
        r" off this (planet|earth) ",
        r" out of this life ",
    ],
    // Not being there any more.
    &[
        r" (will not|not going to|might not|may not|not think i (will|am going to)|not think ill|doubt (i will|ill)|not plan (to|on)|not expect to|hope i do not)( still| even| be| being| live| see| reach| make it| survive| get| last| to| until| through| past){0,6} (alive|around( for)?( much| very)? longer|around for|here( for)? (much|very) longer|on this earth|my( next)?( [a-z0-9]+)? birthday|the (night|week|morning)|another (day|night)) ",
        r" (worry|worrying|deal|dealing|put up|bother)( about| with)+ me (much longer|anymore|ever again) ",
        r" (not|never) be (a|your|their|anyones|everyones) (problem|burden|bother)( [a-z]+){0,3} (anymore|longer|soon) ",
    ],
    // Goodbyes.
    &[
        r" (goodbye|farewell) (letter|letters|note|notes|message|video|text) ",
        r" (wrote|written|writing|write|left|finished)( [a-z]+){0,3} (letter|letters|note|notes|goodbyes) (to|for) (everyone|my (family|kids|parents|mom|mum|children|wife|husband)) ",
        r" this (is|will be) (my|the) (last|final) (goodbye|message|text|letter) ",
        r" this is goodbye (\.|i|thank) ",
        r" goodbye (cruel world|forever) ",
        r" goodbye (everyone|world)( \.)+( i am)? sorry ",
        r" tell (my|mum|mom|dad|him|her|them|everyone)( [a-z]+){0,4} (loved|am sorry|was sorry|not (his|her|their|your) fault) ",
        r" i( have)? (said|written) (all )?my goodbyes? ",
        r" made (my )?peace (\.|with (it|dying|death)) ",
        r" (this|tonight) is my last (night|day) (\.|alive|on earth) ",
        r" time( for me)? to go \. (it is|i am|i have) ",
        r" (after|of)( [a-z]+){1,4} (when|once|after) i am (gone|dead|not around){E}",
        r" giv(e|ing|en)( away)?( all)? my (things|stuff|belongings)( [a-z.]+){0,3} not need ",
        r" i( just| only)? want to be with( [a-z]+){1,4}( \.)? in heaven ",
        r" goodbye \.( [a-z]+){1,8} (to|at|until) the end ",
    ],
    // Tablets and poison.
    &[
        r" (take|taking|took|taken|swallow|swallowing|swallowed|downed|ate|eat|mix)( [a-z]+){0,2} (all|bunch|bottle|handful|too many|whole|entire|lots|loads|so many|every|[1-9][0-9]+|twenty|thirty|forty|fifty)( [a-z]+){0,4} {P} ",
        r" (counted|saved up|saving up|stockpiling|hoarding|holding)( [a-z]+){0,3} {P} ",
        r" {P}( [a-z]+){0,7} (take|took|swallow|swallowed|taking) them all ",
        r" (all|of) my {P}( [a-z]+){0,5} (table|counted|at once|tonight|lined up) ",
        r" {P} on purpose ",
        r" about to (swallow|take)( [a-z]+){0,2} {P} ",
        r" {P} (next to|in front of) me ",
        r" already (swallowed|took|taken)( [a-z]+){0,2} {P} ",
        r" what happens if( [a-z]+){0,2} (take|took|swallow|eat|drink|overdose)( [a-z0-9]+){0,4} {P} ",
        r" {P}( [a-z]+){0,3} saved up ",
        r" (i|to|just|have) (drank|drink|swallowed) (bleach|antifreeze|poison) ",
        r" (i|have|just|to|of|about|almost|might|could)( just| almost)? overdos(e|ed|ing) ",
        r" took an overdose ",
    ],
    // How it would be done.
    &[
        r" how (much|many)( [a-z0-9]+){0,5} (to die|lethal|fatal|deadly|to overdose|kill (me|you|my ?self|your ?self)) ",
        r" (painless|easy|easiest|quick|quickest|fastest|best|least painful|peaceful)( [a-z]+){0,2} (way|ways|method|methods|place) (to|of|for) (die|dying|kill (my|your) ?self|killing (my|your) ?self|commit|end (it|my life|your life)|suicide)( |$)",
        r" ways? to (kill (my|your) ?self|end my life) ",
        r" (which|what) {P}( [a-z]+){0,6} (kill|die) ",
        r" how long( [a-z]+){0,4} (to die|bleed out|to suffocate|bleed to death) ",
        r" (does|would|will) it hurt to die ",
        r" a noose ",
        r" lethal dose ",
    ],
    // Weapons.
    &[
        r" (gun|pistol|rifle|shotgun|knife|blade|razor|scissors)( is| was| right| up){0,2} (to|at|in|against|on) my (head|mouth|temple|throat|wrist|wrists|arm|skin|neck|chest|hand) ",
        r" (looking|staring) at (the|my|a|this)( [a-z]+){0,2} (gun|pills|rope|razor|blade|noose|knife|knives) ",
        r" (gun|pistol|rope|pills|razor|blade|knife)( [a-z]+){0,6} (looking|staring) at (it|them) ",
        r" (loaded|loading|holding|sat with) (the|my) (gun|pistol|shotgun|rifle) ",
        r" i( am| have)?( just)? (loaded|holding|sat with) a (gun|pistol|shotgun|rifle) ",
        r" bullet (in|through) my ",
        r" (razor|blade|knife)( [a-z.]+){0,8} (want|going) to use it ",
        r" (feel|miss|need)( [a-z]+)? (the|my) (blade|razor) ",
    ],
    // Heights and trains.
    &[
        r" (want|going|about|thinking|think|could|might|should|tempted|urge|just|ready|rather|of|by)( [a-z]+){0,2} (jump|jumping|leap|throw myself|throwing myself)( [a-z]+){1,4} (bridge|roof|building|balcony|cliff|train|trains|bus|truck|traffic|tracks|window|overpass|river) ",
        r" jump(ing)? off (a|the) (bridge|roof|building) ",
        r" (step|stepping|walk|walking|lie|lying|laying)( out)? (in front of|under|into|onto)( a| the| an)?( oncoming| next| moving)? (train|bus|truck|traffic|lorry|tracks) ",
        r" i am (going|about) to jump \.",
        r" standing on( the)? (edge|ledge) of (the|a|this) (bridge|roof|building) ",
        r" on the( [a-z]+){0,3} (bridge|roof|ledge|balcony)( [a-z.]+){0,6} (going to jump|let go|end it|step off) ",
    ],
    // Wheels, and a death that would be welcome.
    &[
        r" (think|thinking|thoughts|thought|want|could|urge|tempted|feel like|if i|keep)( [a-z]+){0,7} (steering|steer|driving|drive|drove|crash|crashing|swerve|swerving)( [a-z]+){0,3} (into( a| the| oncoming)? (tree|wall|truck|traffic|river)|off (a|the) (bridge|cliff|road)|on purpose) ",
        r" let(ting)? go of the( [a-z]+)? (railing|wheel|rail|ledge) ",
        r" (hit|run over) by a (bus|car|truck|train)( [a-z]+){0,4} not (mind|care|matter) ",
        r" (wish|hope|want|mind|care)( [a-z]+){0,4} (hit|run over) by a (bus|car|truck|train) ",
        r" (wish|want|hope)( that)? (someone|somebody|something) would( just)? (shoot|kill|end|hit|murder|happen to) me ",
    ],
    // Hurting oneself.
    &[
        r" (hurt|hurting|harm|harming|cut|cutting|burn|burning|burned|burnt|stab) my ?self ",
        r" (hit|hitting|punch|punching|bite|biting|scratch|scratching|slap|slapping|punish|punishing) my ?self (when|because|until|so|every|by|with|on purpose|again|to) ",
        r" (not stop|keep|been|started)( [a-z]+)? (hitting|punching|biting|scratching) my ?self ",
        r" self ?harm(ing|ed|s)? ",
        r" (i|to|have|been) (sh|shd|shing) (again|\.)",
    ],
    // Cutting that has begun again.
    &[
        r" relapsed( [a-z.]+){0,5} (cut|cutting|blade|arms) ",
        r" (clean|free)( [a-z]+){0,7} (blade|razor|cut|cutting) ",
        r" (want|need|urge|urges|going|itching)( so bad)? to( just| really)? (cut|bleed) (again|so|now|right|tonight|\.|is|deep|deeper|my {A}) ",
        r" (urge|urges) to( [a-z]+)? (cut|hurt|harm|burn|bleed) ",
        r" (been|started|start|back to|keep|stop|stopped|not stop|quit|i am|was|miss|addicted to|without|think about|thinking about|thoughts of) cutting{E}",
        r" cutting again ",
        r" i( just)? cut (again|deep|deeper|too deep|so deep|last night|tonight) ",
        r" blood to feel ",
    ],
    // Wounds.
    &[
        r" (cut|cutting|slice|sliced|slicing|slash|slashed|slit|slitting)( up| open| into)? my( own)? {A} ",
        r" carv(e|ed|ing)( [a-z]+){0,4} (in|into|on) my {A} ",
        r" (burn|burning|burned|burnt|scratch|scratching|scratched|bite)( [a-z]+)? my( own)? {A}( [a-z]+){0,5} (lighter|cigarette|purpose|until|feel|bleed|bleeds) ",
        r" (fresh|new) cuts ",
        r" cuts (all over|up and down|on) my ",
        r" {A}( [a-z]+){0,3} (cut up|covered in cuts|full of cuts|covered in scars) ",
        r" see the cuts ",
        r" cigarette on my ",
        r" with a cigarette on purpose ",
    ],
    // Death as a way out; promises that cannot be made.
    &[
        r" (death|dying|being dead|not existing)( just| honestly)? (sounds|seems|feels|would be|looks)( [a-z]+){0,3} (peaceful|better|nice|good|easier|relief|beautiful|tempting|escape|answer) ",
        r" (only|real) (peace|escape|relief|answer|way out|solution)( left)? (is|would be) (death|dying|suicide|to die) ",
        r" what i( [a-z]+)? do to my ?self ",
        r" something (bad|terrible|stupid|awful) to my ?self ",
        r" should( just)? be gone ",
        r" (death|dying|suicide) is all i think ",
        r" suicide painful ",
        r" not promise( [a-z]+){0,2} stay alive ",
        r" never open (them|my eyes) ",
        r" not( [a-z]+){0,2} (survive|live through) (this|the night) ",
        r" last time you( will)? hear from me ",
        r" my last letters ",
    ],
];
