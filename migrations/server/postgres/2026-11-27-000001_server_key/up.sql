-- By what the secret is known that this database is served with: instances that share it share the secret too.
CREATE TABLE server_key (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    key_check TEXT    NOT NULL
);
