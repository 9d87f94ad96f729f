"""Large values between processes of one host: written into memory that both see, once."""
