"""The session protocol as pure state machines: messages, codecs, reject classes, close codes."""
