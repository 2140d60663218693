UPDATE stage SET unrest = '[{"service":"web","well":0,"wanted":1,"restarts":4,"since":1763999000000,"over":null,"failure":{"kind":"exited","summary":"`web` ended with exit code 7","exit_code":7,"log":["out of handles"],"advice":"Its last lines say why."}}]'
    WHERE name = 'dev';
