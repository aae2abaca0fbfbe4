DROP TABLE user_rights;
DROP TABLE users;
