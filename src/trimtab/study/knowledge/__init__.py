"""The study's product that answers from documents, while its policies change and the documents do not."""
