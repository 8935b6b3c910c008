export function RunsCard() {
  return null;
}
