    -- What an erasure brings itself it does not remove first.
    ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint,
        answer = excluded.answer, kept_at = excluded.kept_at
