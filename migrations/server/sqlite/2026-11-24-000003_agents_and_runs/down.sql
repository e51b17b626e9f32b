DROP TABLE due;
DROP TABLE runs;
DROP TABLE used_nonces;
DROP TABLE agents;
DROP TABLE enrolment_codes;
