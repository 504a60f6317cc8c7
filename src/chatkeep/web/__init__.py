"""HTTP: the route table, the endpoints and the way every answer leaves the server."""
