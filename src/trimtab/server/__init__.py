"""HTTP: the application, its authentication, and the one shape in which every error is answered."""
