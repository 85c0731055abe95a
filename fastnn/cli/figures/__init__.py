"""The pictures. Only this package imports matplotlib."""
