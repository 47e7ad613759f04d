-- A fourth priority. Only the rule's text changes, as in V3.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(
        sql,
        'CHECK (priority = ''low'' OR priority = ''medium'' OR priority = ''high'')',
        'CHECK (priority = ''low'' OR priority = ''medium'' OR priority = ''high'' OR priority = ''urgent'')'
    )
    WHERE type = 'table' AND name = 'tasks';
PRAGMA writable_schema = RESET;
