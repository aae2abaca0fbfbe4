-- PostgreSQL gets a function for comparing IP addresses. Here each connection brings it.
SELECT 1;
