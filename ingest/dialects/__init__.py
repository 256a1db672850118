"""One small file per dialect: the attributes it reads and the convention they follow."""
