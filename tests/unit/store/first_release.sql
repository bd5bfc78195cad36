-- A database as the first release left it: its tables, and a row or two in each.
PRAGMA application_id = 1414679892;
PRAGMA user_version = 1;
CREATE TABLE api_keys (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    hint TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT);
INSERT INTO api_keys VALUES (1, 'p', x'0198f000000070008000000000000012', 'ingest', 'p', 'tt_ab', '0000000000000000000000000000000000000000000000000000000000000000', 1772366400123456, NULL);
CREATE UNIQUE INDEX api_keys_key ON api_keys (project_id, id);
CREATE INDEX api_keys_sha256 ON api_keys (sha256);
CREATE TABLE cases (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    feature TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    input TEXT NOT NULL,
    expected TEXT NOT NULL,
    "check" TEXT NOT NULL,
    severity TEXT NOT NULL,
    incident_id BLOB,
    feedback_id BLOB);
INSERT INTO cases VALUES (1, 'p', x'0198f000000070008000000000000011', 'answer', 1772366400123456, '{"q":"a"}', 'b', 'exact', 'normal', NULL, NULL);
CREATE UNIQUE INDEX cases_key ON cases (project_id, id);
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    feature TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    base_version_id TEXT NOT NULL,
    run_id BLOB,
    incident_id BLOB,
    candidate_version_id TEXT,
    gate TEXT,
    reason TEXT NOT NULL,
    gated_at BIGINT,
    exposed_at BIGINT,
    step_at BIGINT,
    promoted_at BIGINT,
    rolled_back_at BIGINT,
    verified_at BIGINT,
    canary TEXT NOT NULL,
    verification TEXT NOT NULL);
INSERT INTO changes VALUES (1, 'p', x'0198f000000070008000000000000009', 'answer', 'exemplar', 'building', 1772366400123456, 'v1', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, '{"log_e":-0.25}', '{}');
CREATE INDEX changes_feature ON changes (project_id, feature);
CREATE UNIQUE INDEX changes_key ON changes (project_id, id);
CREATE TABLE cursors (
    stage TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (stage)) WITHOUT ROWID;
INSERT INTO cursors VALUES ('enrich', 7);
CREATE TABLE exposures (
    project_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    minute BIGINT NOT NULL,
    version_id TEXT NOT NULL,
    arm TEXT NOT NULL,
    inferences BIGINT NOT NULL,
    PRIMARY KEY (project_id, feature, minute, version_id, arm)) WITHOUT ROWID;
INSERT INTO exposures VALUES ('p', 'answer', 29539440, 'v1', 'stable', 1);
CREATE TABLE features (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    description TEXT NOT NULL);
INSERT INTO features VALUES (1, 'p', 'answer', 1772366400123456, '');
CREATE UNIQUE INDEX features_key ON features (project_id, name);
CREATE TABLE feedback (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    rules TEXT NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    inference_id BLOB,
    external_id TEXT,
    trace_id TEXT,
    span_id TEXT,
    session_id TEXT,
    feature TEXT,
    user_id TEXT,
    source TEXT NOT NULL,
    value FLOAT,
    best FLOAT,
    label TEXT,
    text TEXT,
    retracted BOOLEAN NOT NULL);
INSERT INTO feedback VALUES (1, 'p', 1772366400123456, 'test', x'0198f000000070008000000000000002', 'correction', 1772366400123456, x'0198f000000070008000000000000001', NULL, NULL, NULL, 's-1', NULL, 'u', 'user', NULL, NULL, NULL, 'it''s right', 0);
CREATE UNIQUE INDEX feedback_key ON feedback (project_id, id);
CREATE INDEX feedback_time ON feedback (project_id, created_at);
CREATE TABLE incidents (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    feature TEXT NOT NULL,
    version_id TEXT NOT NULL,
    monitor_id BLOB NOT NULL,
    state TEXT NOT NULL,
    onset_at BIGINT NOT NULL,
    first_signal_at BIGINT NOT NULL,
    detected_at BIGINT NOT NULL,
    reference FLOAT NOT NULL,
    observed FLOAT NOT NULL,
    events BIGINT NOT NULL,
    negatives BIGINT NOT NULL,
    users BIGINT NOT NULL,
    log_evidence FLOAT NOT NULL,
    log_threshold FLOAT NOT NULL,
    resolved_at BIGINT,
    resolution TEXT);
INSERT INTO incidents VALUES (1, 'p', x'0198f000000070008000000000000008', 'answer', 'v1', x'62c66a7a5dd78c3186618063c344e531', 'firing', 1772366400123456, 1772366400123456, 1772366400123456, 0.1, 0.4, 20, 8, 8, 6.5, 4.6, NULL, NULL);
CREATE INDEX incidents_feature ON incidents (project_id, feature);
CREATE UNIQUE INDEX incidents_key ON incidents (project_id, id);
CREATE TABLE inferences (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    rules TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    id BLOB NOT NULL,
    feature TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    input TEXT NOT NULL,
    output TEXT,
    version_id TEXT,
    arm TEXT,
    model TEXT,
    session_id TEXT,
    user_id TEXT,
    external_id TEXT,
    trace_id TEXT,
    span_id TEXT,
    context TEXT NOT NULL,
    tags TEXT NOT NULL,
    latency_ms FLOAT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cost_usd FLOAT,
    error TEXT);
INSERT INTO inferences VALUES (1, 'p', 1772366400123456, 'test', '60c1e09fac339556355d3da069af63a0c7cafd2fc1368cb3a3a965c70ed2f93c', x'0198f000000070008000000000000001', 'answer', 1772366400123456, '"what is it?"', '"a thing"', 'v1', 'stable', NULL, NULL, 'u', NULL, NULL, NULL, '[]', '{}', NULL, NULL, NULL, NULL, NULL);
CREATE UNIQUE INDEX inferences_key ON inferences (project_id, id);
CREATE INDEX inferences_time ON inferences (project_id, feature, created_at, version_id);
CREATE TABLE joins (
    project_id TEXT NOT NULL,
    feedback_id BLOB NOT NULL,
    inference_id BLOB NOT NULL,
    PRIMARY KEY (project_id, feedback_id)) WITHOUT ROWID;
INSERT INTO joins VALUES ('p', x'0198f000000070008000000000000002', x'0198f000000070008000000000000001');
INSERT INTO joins VALUES ('p', x'0198f000000070008000000000000005', x'0198f000000070008000000000000004');
CREATE TABLE monitors (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    feature TEXT NOT NULL,
    version_id TEXT NOT NULL,
    reference_kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    reference FLOAT,
    learned_votes BIGINT NOT NULL,
    learned_negatives FLOAT NOT NULL,
    votes BIGINT NOT NULL,
    negatives FLOAT NOT NULL,
    alarms BIGINT NOT NULL,
    detector TEXT NOT NULL,
    onsets TEXT NOT NULL,
    last_alarm_at BIGINT);
INSERT INTO monitors VALUES (1, 'p', x'0198f000000070008000000000000007', 'answer', 'v1', 'target', 1772366400123456, 0.1, 0, 0.0, 0, 0.0, 0, '{"log_e":0.5,"n":[1,2]}', '{}', NULL);
CREATE UNIQUE INDEX monitors_key ON monitors (project_id, id);
CREATE TABLE opinions (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    inference_id BLOB NOT NULL,
    feedback_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    user_id TEXT,
    value FLOAT,
    best FLOAT,
    retracted BOOLEAN NOT NULL);
INSERT INTO opinions VALUES (1, 'p', x'0198f000000070008000000000000001', x'0198f000000070008000000000000002', 'correction', 'user', 1772366400123456, 'u', NULL, NULL, 0);
INSERT INTO opinions VALUES (2, 'p', x'0198f000000070008000000000000004', x'0198f000000070008000000000000005', 'thumb', 'user', 1772366400123456, 'u', 0.0, NULL, 0);
CREATE UNIQUE INDEX opinions_key ON opinions (project_id, inference_id, kind, source, coalesce(user_id, ''));
CREATE INDEX opinions_kind ON opinions (project_id, kind);
CREATE TABLE orphans (
    project_id TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_key TEXT NOT NULL,
    feedback_id BLOB NOT NULL,
    PRIMARY KEY (project_id, target_kind, target_key, feedback_id)) WITHOUT ROWID;
INSERT INTO orphans VALUES ('p', 'session', 's-1', x'0198f000000070008000000000000006');
CREATE INDEX orphans_feedback ON orphans (project_id, feedback_id);
CREATE TABLE outcomes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    inference_id BLOB NOT NULL,
    feature TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    judged_at BIGINT NOT NULL,
    p_bad FLOAT NOT NULL,
    confidence FLOAT NOT NULL,
    tier TEXT NOT NULL,
    evidence TEXT NOT NULL,
    version_id TEXT,
    arm TEXT,
    user_id TEXT,
    vote FLOAT,
    voter_id TEXT,
    voted_at BIGINT,
    calibrated BOOLEAN NOT NULL);
INSERT INTO outcomes VALUES (1, 'p', x'0198f000000070008000000000000001', 'answer', 1772366400123456, 1772366400123456, 1.0, 1.0, 'A', '[]', 'v1', NULL, 'u', NULL, NULL, NULL, 0);
INSERT INTO outcomes VALUES (2, 'p', x'0198f000000070008000000000000004', 'answer', 1772366400123456, 1772366400123456, 1.0, 1.0, 'A', '[]', NULL, NULL, NULL, NULL, NULL, NULL, 0);
CREATE UNIQUE INDEX outcomes_key ON outcomes (project_id, inference_id);
CREATE INDEX outcomes_time ON outcomes (project_id, feature, created_at);
CREATE TABLE probe (
    id INTEGER NOT NULL,
    checks BIGINT NOT NULL,
    PRIMARY KEY (id)) WITHOUT ROWID;
INSERT INTO probe VALUES (1, 1);
CREATE TABLE projects (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at BIGINT NOT NULL);
INSERT INTO projects VALUES (1, 'p', 'p', 1772366400123456);
CREATE UNIQUE INDEX projects_key ON projects (project_id, id);
CREATE TABLE rollouts (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    stable_version_id TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    id BLOB NOT NULL,
    revision BIGINT NOT NULL,
    candidate_version_id TEXT,
    share FLOAT NOT NULL,
    change_id BLOB);
INSERT INTO rollouts VALUES (1, 'p', 'answer', 'v1', 1772366400123456, x'0198f000000070008000000000000013', 1, NULL, 0.0, NULL);
CREATE UNIQUE INDEX rollouts_key ON rollouts (project_id, feature, revision);
CREATE TABLE run_steps (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    run_id BLOB NOT NULL,
    name TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    detail TEXT NOT NULL);
INSERT INTO run_steps VALUES (1, 'p', x'0198f000000070008000000000000003', 'gather', 1772366400123456, 1772366400123456, '{}');
CREATE UNIQUE INDEX run_steps_key ON run_steps (project_id, run_id, name);
CREATE TABLE runs (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    id BLOB NOT NULL,
    playbook TEXT NOT NULL,
    feature TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    incident_id BLOB,
    change_id BLOB,
    ended_at BIGINT,
    error TEXT NOT NULL);
INSERT INTO runs VALUES (1, 'p', x'0198f000000070008000000000000003', 'exemplar', 'answer', 'running', 1772366400123456, NULL, NULL, NULL, '');
CREATE UNIQUE INDEX runs_key ON runs (project_id, id);
CREATE TABLE targets (
    project_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    "key" TEXT NOT NULL,
    inference_id BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, kind, "key")) WITHOUT ROWID;
INSERT INTO targets VALUES ('p', 'session', 's-1', x'0198f000000070008000000000000004', 0);
CREATE TABLE versions (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    messages TEXT NOT NULL,
    model TEXT,
    parameters TEXT NOT NULL,
    rules TEXT NOT NULL,
    exemplars TEXT NOT NULL,
    parent_id TEXT,
    incident_id BLOB,
    change_id BLOB,
    note TEXT NOT NULL,
    id TEXT NOT NULL);
INSERT INTO versions VALUES (1, 'p', 'answer', 1772366400123456, '[{"role":"user","content":"{input}"}]', NULL, '{}', '[]', '[{"id":"x1","input":"a","output":"b","added_at":"2026-03-01T12:00:00.123456Z"}]', NULL, NULL, NULL, '', 'v_d48fc4c27f13616338cdc79d');
CREATE UNIQUE INDEX versions_key ON versions (project_id, feature, id);
CREATE TABLE votes (
    consumer_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    counted_at BIGINT NOT NULL,
    PRIMARY KEY (consumer_id, user_id)) WITHOUT ROWID;
INSERT INTO votes VALUES ('monitor', 'u', 'p', 1772366400123456);
