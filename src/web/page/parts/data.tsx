export function DataCard() {
  return null;
}
