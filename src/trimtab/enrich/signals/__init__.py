"""What the engine hears in what people do, beside what they say outright."""
