DROP TABLE schedules;
DROP TABLE triangles;
DROP TABLE accounts;
DROP TABLE sites;
