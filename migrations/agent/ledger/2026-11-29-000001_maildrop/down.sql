DROP TABLE maildrop_message;
DROP TABLE maildrop;
