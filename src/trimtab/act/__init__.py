"""From an incident to a change that proved itself on live feedback."""
