INSERT INTO carried (what) VALUES ('hosts');
