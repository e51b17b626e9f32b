DROP TABLE schedule_lines;
