-- A score that was answered with success survives a power cut, as spans do.
ALTER TABLE spanwell.scores MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
