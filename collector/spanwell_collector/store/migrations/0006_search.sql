-- Search in texts. `words`, `letters` and `grams` are not stored: they are what the two indexes hold, and what a question
-- names to use them. The words of ASCII text are found by any part of theirs; every word with another letter in it is
-- found by its pairs and triples of letters, since most scripts put no spaces, or endings, between words: decision 0011.
-- No lambda in them: the engine loses it when it reads a part without the index beside one that has it.

-- A found text is read with the rows around it, so there are few of them: a table's granularity cannot be changed.
CREATE TABLE spanwell.texts_before
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC'),
    trace_id String,
    span_id  String,
    source   LowCardinality(String),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (trace_id, span_id);

INSERT INTO spanwell.texts_before (project, ts, trace_id, span_id, source, input, output)
SELECT project, ts, trace_id, span_id, source, input, output FROM spanwell.texts;

DROP TABLE spanwell.texts;

CREATE TABLE spanwell.texts
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id  String CODEC(ZSTD(1)),
    source   LowCardinality(String),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3)),
    words    String ALIAS replaceRegexpAll(caseFoldUTF8(concat(input, '\n', output)), '[^\\x00-\\x7f]+', ' '),
    letters  String ALIAS arrayStringConcat(extractAll(caseFoldUTF8(concat(input, '\n', output)),
        '[0-9a-z]*[^\\x00-\\x7f][0-9a-z\\x{80}-\\x{10ffff}]*'), ' '),
    grams    String ALIAS arrayStringConcat(arrayConcat(ngrams(letters, 2), ngrams(letters, 3)), ' '),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX by_words words TYPE text(tokenizer = 'splitByNonAlpha'),
    INDEX by_grams grams TYPE text(tokenizer = 'splitByNonAlpha')
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS index_granularity = 512, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, enable_block_number_column = 1, enable_block_offset_column = 1;

-- Inserts leave the two indexes to the merges; what moves here may never be merged again.
INSERT INTO spanwell.texts (project, ts, trace_id, span_id, source, input, output)
SELECT project, ts, trace_id, span_id, source, input, output FROM spanwell.texts_before
SETTINGS exclude_materialize_skip_indexes_on_insert = '';

DROP TABLE spanwell.texts_before;
