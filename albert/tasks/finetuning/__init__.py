"""Fine-tuning: epochs in the loop of every training, a search of settings, the best kept."""
