-- SQLite's index of ids gets smaller. Here rows come in as fast with the whole id in it.
SELECT 1;
