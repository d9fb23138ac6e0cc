"""The vector store over Milvus."""
