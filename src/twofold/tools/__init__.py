"""For developers: fitting, measuring, writing reference pages. Floor 14."""
