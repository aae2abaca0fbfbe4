DROP FUNCTION same_address(text, text);
