"""A trained method under attack: white-box and adaptive evaluation, sanity checks, reports. docs/adversarial.md."""
