//! Who a message is meant for. In a private chat everything is; in a group only commands with the bot's name, replies to
//! the bot, and messages that mention it.

use friend_actors::ports::Me;

/// What decides whether words are meant for the bot.
pub(super) struct Address<'a> {
    pub(super) me: &'a Me,
    pub(super) private: bool,
    pub(super) reply_to_us: bool,
    pub(super) mentioned_by_link: bool,
    pub(super) words: &'a str,
}

/// `/name@bot args`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Lower case, without slash and bot name.
    pub(super) name: String,
    /// The rest, trimmed.
    pub(super) args: String,
    /// False: another bot's.
    pub(super) ours: bool,
}

/// The longest name of a command.
const LONGEST_COMMAND: usize = 32;

impl Address<'_> {
    pub(super) fn is_ours(&self) -> bool {
        self.private || self.reply_to_us || self.mentioned_by_link || self.mention(self.words).is_some()
    }

    /// Reads a command. None: it is not written like one.
    pub(super) fn command(&self, text: &str) -> Option<Command> {
        let rest = text.strip_prefix('/')?;
        let (head, args) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (name, bot) = head.split_once('@').map_or((head, None), |(name, bot)| (name, Some(bot)));
        let fits = (1..=LONGEST_COMMAND).contains(&name.len());
        if !fits || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let ours = match bot {
            Some(bot) => bot.eq_ignore_ascii_case(&self.me.username),
            None => self.private || self.reply_to_us,
        };
        Some(Command { name: name.to_ascii_lowercase(), args: args.trim().to_owned(), ours })
    }

    /// The words without the "@bot, " that opens them: it calls the friend and says nothing.
    pub(super) fn without_call(&self, words: &str) -> String {
        let said = words.trim_start();
        let called = self.mention(said).filter(|&at| at == 0);
        let after = called.map(|_| said[1 + self.me.username.len()..].trim_start_matches([' ', ',', ':', '\n']));
        after.filter(|after| !after.is_empty()).unwrap_or(words).to_owned()
    }

    /// Where `@bot` stands as a whole word, in any case.
    fn mention(&self, words: &str) -> Option<usize> {
        let name = &self.me.username;
        let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        words.match_indices('@').map(|(at, _)| at).find(|&at| {
            let before = words[..at].chars().next_back();
            let named = words[at + 1..].get(..name.len()).is_some_and(|said| said.eq_ignore_ascii_case(name));
            let after = words[at + 1..].get(name.len()..).and_then(|rest| rest.chars().next());
            named && !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_group<T>(words: &str, with: impl FnOnce(&Address<'_>) -> T) -> T {
        let me = Me { id: 7, username: "arthur_bot".to_owned() };
        with(&Address { me: &me, private: false, reply_to_us: false, mentioned_by_link: false, words })
    }

    #[test]
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method's lifetime is bound too early for a path"
    )]
    fn a_mention_is_a_whole_word_in_any_case() {
        for words in ["@arthur_bot hi", "hi @Arthur_Bot!", "(@ARTHUR_BOT)", "@someone @arthur_bot"] {
            assert!(in_group(words, |address| address.is_ours()), "{words}");
        }
        for words in ["@arthur_bot2", "mail@arthur_bot", "arthur_bot", "@arthur", "@arthur_bo", "", "@ärthur_bot"] {
            assert!(!in_group(words, |address| address.is_ours()), "{words}");
        }
    }

    #[test]
    fn the_call_is_dropped_and_the_words_stay() {
        let said = |words: &str| in_group(words, |address| address.without_call(words));
        assert_eq!(said("@arthur_bot, how are you?"), "how are you?");
        assert_eq!(said("how are you, @arthur_bot?"), "how are you, @arthur_bot?");
        assert_eq!(said("@arthur_bot"), "@arthur_bot");
        assert_eq!(said("hello"), "hello");
    }

    #[test]
    fn a_command_in_a_group_counts_only_with_the_bots_name() {
        let read = |text: &str| in_group(text, |address| address.command(text));
        let command = |name: &str, args: &str, ours| Some(Command { name: name.into(), args: args.into(), ours });
        assert_eq!(read("/Start@arthur_BOT  now please"), command("start", "now please", true));
        assert_eq!(read("/start"), command("start", "", false));
        assert_eq!(read("/start@other_bot"), command("start", "", false));
        for text in ["/", "/ start", "start", "/st-art", "/startstartstartstartstartstartstart"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
