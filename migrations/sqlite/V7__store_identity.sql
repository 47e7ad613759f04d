-- Which store this is, in one row. NULL, as in every backup, is filled in when the file is next opened, so that each
-- restored copy becomes a store of its own.

CREATE TABLE store_identity (
    id BLOB,
    CONSTRAINT store_identity_length CHECK (length(id) = 16)
) STRICT;

INSERT INTO store_identity VALUES (NULL);
