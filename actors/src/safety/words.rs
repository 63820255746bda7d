//! What people type on phones, made comparable: the words alone, short forms and common typos written out.

/// Lower case ASCII words with one space between and around them, any other mark a lone full stop, " . " at both ends. Where it
/// `asks`, a question mark is the word `qq`.
pub(super) fn words(text: &str, asks: bool) -> String {
    let dropped = |c: &char| matches!(c, '\'' | '’' | '‘' | '`' | '\u{200b}'..='\u{200d}' | '\u{fe0f}');
    let letters: Vec<char> = text.to_lowercase().chars().filter(|c| !dropped(c)).collect();
    let mut plain = String::with_capacity(text.len() + 8);
    for run in letters.chunk_by(|a, b| a == b) {
        match run[0] {
            // "sooo" is "so", "all" is "all".
            letter @ 'a'..='z' => plain.extend(std::iter::repeat_n(letter, if run.len() > 2 { 1 } else { run.len() })),
            '0'..='9' => plain.extend(run),
            '😂' | '🤣' | '💀' => plain.push_str(" lol "),
            '?' if asks => plain.push_str(" qq "),
            c if c == '-' || c.is_whitespace() => plain.push(' '),
            _ => plain.push_str(" . "),
        }
    }
    let mut words = String::from(" . ");
    for word in plain.split_whitespace().map(said).chain(["."]) {
        if word != "." || !words.ends_with(" . ") {
            words.push_str(word);
            words.push(' ');
        }
    }
    words.replace(" any more ", " anymore ").replace(" no longer ", " not ").replace(" no one ", " nobody ")
}

/// A word as it was meant.
fn said(word: &str) -> &str {
    match word {
        "wanna" | "wana" | "wnna" | "wannna" => "want to",
        "wan" | "wnat" | "wnt" | "whant" | "jwant" => "want",
        "gonna" | "gona" | "goin" | "imma" | "ima" | "finna" | "bouta" => "going to",
        "dont" | "dnt" | "donot" | "doesnt" | "didnt" => "do not",
        "idont" => "i do not",
        "cant" | "cannot" => "can not",
        "wont" => "will not",
        "wouldnt" => "would not",
        "couldnt" => "could not",
        "shouldnt" => "should not",
        "isnt" | "aint" => "is not",
        "arent" => "are not",
        "wasnt" | "werent" => "was not",
        "havent" => "have not",
        "im" => "i am",
        "ive" => "i have",
        "id" => "i would",
        "theres" => "there is",
        "whats" => "what is",
        "whos" => "who is",
        "its" => "it is",
        "hes" => "he is",
        "shes" => "she is",
        "theyre" => "they are",
        "thats" => "that is",
        "ur" | "youre" => "you are",
        "u" | "ya" => "you",
        "r" => "are",
        "anymor" | "anymroe" | "nomore" | "enymore" => "anymore",
        "sewerslide" | "sui" | "su1cide" => "suicide",
        "su1cidal" => "suicidal",
        "meself" => "myself",
        "killmyself" => "kill myself",
        "kil" | "kll" => "kill",
        "kiling" => "killing",
        "cuting" => "cutting",
        "liv" => "live",
        "alve" | "alife" | "aliv" => "alive",
        "lyfe" | "lief" => "life",
        "dieing" => "dying",
        "iwanttodie" | "wannadie" => "want to die",
        "jus" | "jst" | "jsut" => "just",
        "rly" => "really",
        "thinkin" => "thinking",
        "noone" => "nobody",
        "bc" | "cuz" | "cos" => "because",
        "rn" => "now",
        "till" | "til" => "until",
        "everybody" => "everyone",
        "feling" => "feeling",
        "endit" => "end it",
        "hvae" => "have",
        "tonite" => "tonight",
        _ if is_myself(word) => "myself",
        _ => suicide(word).unwrap_or(word),
    }
}

/// "myself" with letters missing, doubled or in another order.
fn is_myself(word: &str) -> bool {
    let only = |part: &str, letters: &str| part.chars().all(|c| letters.contains(c));
    let parts = word.strip_prefix('m').filter(|_| (5..=7).contains(&word.len()) || word == "mysel");
    let Some(rest) = parts else { return false };
    match rest.split_once(['f', 'v']) {
        Some((before, after)) => only(before, "ysel") && only(after, "ysefl"),
        None => word == "mysel",
    }
}

/// "suicide" or "suicidal" with letters missing or taken for others.
fn suicide(word: &str) -> Option<&'static str> {
    let rest = word.strip_prefix("su")?;
    let rest = rest.strip_prefix(['i', 'y']).unwrap_or(rest).strip_prefix(['c', 's'])?;
    let rest = rest.strip_prefix(['i', 'y']).unwrap_or(rest).strip_prefix('d')?;
    let letters = rest.chars().all(|c| c.is_ascii_lowercase());
    let is_adjective = ["al", "el", "le"].iter().any(|end| rest.contains(end));
    letters.then_some(if is_adjective { "suicidal" } else { "suicide" })
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn what_is_typed_on_phones_becomes_plain_words() {
        for (typed, meant) in [
            ("I dont wanna be here any more!!", " . i do not want to be here anymore . "),
            ("im sooo tired… 😂😂", " . i am so tired . lol . "),
            ("I can’t. No one cares", " . i can not . nobody cares . "),
            ("kill mysefl, sucide, suicdal", " . kill myself . suicide . suicidal . "),
            ("self-harm", " . self harm . "),
            ("", " . "),
        ] {
            assert_eq!(words(typed, false), meant, "{typed}");
        }
        assert_eq!(words("r u real??", true), " . are you real qq . ");
    }
}
