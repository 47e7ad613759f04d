    -- erase.sql leaves the rows of the batch's own keys in place.
    ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint,
        answer = excluded.answer, kept_at = excluded.kept_at
