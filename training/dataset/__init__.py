"""Dialogue sets: reading, checking, and turning them into what a model trains on."""
