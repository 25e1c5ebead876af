"""The room server: rooms, admission, fan-out and the HTTP and WebSocket edge."""
