DROP TABLE stats_place;
DROP TABLE stats;
