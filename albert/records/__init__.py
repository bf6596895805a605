"""The record format, the masks and what a build is made from: shared by builder and trainer."""
