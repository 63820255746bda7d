-- Keys of updates ever taken, so that none is taken twice: a set, because ids become random after an idle week.
CREATE TABLE updates (
    bot INTEGER NOT NULL,
    id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (bot, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX updates_by_age ON updates (at_ms);

-- One row a chat. `epoch` fences old owners out; `generation` grows at a reset and hides the turns before it.
CREATE TABLE chats (
    bot INTEGER NOT NULL,
    chat INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    profile TEXT,
    PRIMARY KEY (bot, chat)
) STRICT, WITHOUT ROWID;

-- What is not answered yet; answered rows are deleted, their words live on in `turns`. AUTOINCREMENT: a `seq` that a
-- session still holds is never given to another row.
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    bot INTEGER NOT NULL,
    chat INTEGER NOT NULL,
    incoming TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX inbox_by_chat ON inbox (bot, chat, seq);

CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot INTEGER NOT NULL,
    chat INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    mode TEXT,
    scores TEXT,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX turns_by_chat ON turns (bot, chat, generation, id);
CREATE INDEX turns_by_age ON turns (at_ms);

-- What is not sent yet, or was given up; sent rows are deleted.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot INTEGER NOT NULL,
    chat INTEGER NOT NULL,
    outgoing TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_chat ON outbox (bot, chat, id) WHERE state IN ('pending', 'sending');
